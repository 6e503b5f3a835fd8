-- Policies of what leads are scored by, and the statement that writes scores.

SELECT app.protect('public.leads');  -- for the new column
SELECT app.protect('public.lead_rule_sets', ARRAY['select', 'insert']);
SELECT app.protect('public.lead_models');
SELECT app.protect('public.lead_changes');

-- Writes the scores of a batch and answers how many leads have changed by it. Arrays run in parallel, one element a
-- lead; *told* is one JSON list of reasons in the same order. A lead whose score, reasons and versions are what they were is
-- left alone, unless *touch* wants its moment renewed.
-- Not by nested loops: of an organization it has no statistics of, the planner expects one lead, and would compare
-- each element with each lead.
CREATE FUNCTION app.write_lead_scores(
    ids uuid[], scores integer[], fits integer[], engagements integer[], grades text[], buckets text[], told json,
    rules bigint, model bigint, moment timestamptz, touch boolean
) RETURNS bigint LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET enable_nestloop = off AS $$
DECLARE
    tenant constant uuid := app.sealed_tenant();
    written bigint;
BEGIN
    UPDATE public.leads AS lead
    SET score = fresh.score, fit = fresh.fit, engagement = fresh.engagement, grade = fresh.grade,
        bucket = fresh.bucket, reasons = fresh.reasons::jsonb, rules_version = rules, model_version = model,
        engagement_at = moment, last_scored_at = moment
    FROM ROWS FROM (
        unnest(ids, scores, fits, engagements, grades, buckets), json_array_elements(told)
    ) AS fresh(id, score, fit, engagement, grade, bucket, reasons)
    WHERE lead.organization_id = tenant AND lead.id = ANY (ids) AND lead.id = fresh.id
      AND (touch OR (
            lead.score, lead.fit, lead.engagement, lead.grade, lead.bucket, lead.rules_version, lead.model_version
        ) IS DISTINCT FROM (
            fresh.score, fresh.fit, fresh.engagement, fresh.grade, fresh.bucket, rules, model
        ) OR lead.reasons <> fresh.reasons::jsonb);
    GET DIAGNOSTICS written = ROW_COUNT;
    RETURN written;
END $$;
REVOKE ALL ON FUNCTION app.write_lead_scores FROM genius_relay;
