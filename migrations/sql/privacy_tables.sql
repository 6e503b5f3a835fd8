-- What is audited, and which columns can name no person. A table of tenants that is not here stands in
-- tests/integration/privacy/test_every_table.py with the reason.

SELECT app.audited(('public.' || listed.name)::regclass, listed.plain::text[], listed.ignored::text[], listed.people)
FROM (VALUES
    ('organizations', '{status,plan,plan_overrides,time_zone,pools_training_data,region,deleted_at}', '{}', false),
    ('users', '{role,status,deleted_at}', '{email_norm,last_seen_at}', true),
    ('subscriptions', '{plan,status,anchor_date,started_at,ends_at,cancelled_at}', '{}', false),
    ('settings', '{}', '{}', false),
    ('campaigns', '{status,budget_cents,currency,starts_at,ends_at,deleted_at}', '{}', false),
    ('content_assets', '{kind,status,media_type,byte_size,width,height,duration_ms,campaign_id,deleted_at}', '{}', false),
    ('leads', '{status,converted,converted_at,campaign_id,deleted_at}',
        '{email_norm,score,grade,bucket,reasons,fit,engagement,engagement_at,rules_version,model_version,last_scored_at}',
        true),
    ('lead_rule_sets', '{version}', '{}', false),
    ('lead_models', '{version,retired_at}', '{model}', false),
    ('social_accounts', '{platform,status,deleted_at}', '{expires_at,token_version,rate_limited_until}', false),
    ('social_clients', '{platform}', '{}', false),
    ('social_posts', '{platform,state,scheduled_at,published_at,account_id,campaign_id,decided_at,deleted_at}',
        '{uploads,request_key,request_fingerprint,job_id,frozen_body,provider_key,publishing_at,metrics,metrics_at,revision}',
        false),
    ('schedules', '{kind,cron,interval_seconds,time_zone,overlap,paused,priority,starts_at,ends_at,deleted_at}',
        '{next_nominal,buffered_nominal,revision}', false),
    ('webhook_endpoints', '{paused,deleted_at}', '{}', false),
    ('email_recipients', '{paused,deleted_at}', '{email_norm}', true),
    ('api_keys', '{expires_at,previous_until,rotated_at,revoked_at}', '{last_used_at}', false),
    ('custom_domains', '{verified_at}', '{token,checked_at}', false),
    ('revocations', '{target,issued_before,expires_at}', '{}', false)
) AS listed (name, plain, ignored, people);
