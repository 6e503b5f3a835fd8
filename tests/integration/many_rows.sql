-- As many rows as a busy platform has: {rows} a table, of {tenants} tenants, one of which is {mine}.
SET session_replication_role = replica;
CREATE TEMP TABLE tenants AS
    SELECT n, CASE n WHEN 0 THEN {mine}::uuid ELSE gen_random_uuid() END AS id FROM generate_series(0, {tenants} - 1) AS n;
INSERT INTO organizations (organization_id, name) SELECT id, 'x' FROM tenants WHERE n > 0;
INSERT INTO jobs (organization_id, id, kind, lane, state, payload, priority, max_attempts, attempts_per_life)
    SELECT id, gen_random_uuid(), 'leads.score', 'scoring', 'queued', '{{}}', 0, 5, 5
    FROM generate_series(1, {rows}) AS i JOIN tenants ON n = i % {tenants};
INSERT INTO leads (organization_id, id, email, score)
    SELECT id, gen_random_uuid(), 'x', i % 100 FROM generate_series(1, {rows}) AS i JOIN tenants ON n = i % {tenants};
INSERT INTO campaigns (organization_id, id, name)
    SELECT id, gen_random_uuid(), 'x' FROM generate_series(1, {rows}) AS i JOIN tenants ON n = i % {tenants};
INSERT INTO analytics_buckets (organization_id, starts_at, name, events)
    SELECT id, '2026-01-01'::timestamptz + i / {tenants} * interval '15 minutes', 'view', 1
    FROM generate_series(1, {rows}) AS i JOIN tenants ON n = i % {tenants}
    ON CONFLICT DO NOTHING;
SET session_replication_role = origin;
ANALYZE jobs, leads, campaigns, analytics_buckets, organizations
