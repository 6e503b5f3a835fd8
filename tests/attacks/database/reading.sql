-- Attempts to read that are nothing but text: their name, the copy on which they get across, what an injection sends.
-- {theirs}, {forged} and so on stand for literals. All are sent by a session that is bound to the attacker's tenant; an
-- answer that holds anything of the other tenant means that it got across.

-- attempt: set_config inside the query
-- broken: plain setting
SELECT organization_id FROM leads WHERE set_config('app.tenant_seal', {forged}, true) = '' UNION ALL SELECT
organization_id FROM (SELECT set_config('app.tenant_seal', {forged}, true) OFFSET 0) AS x, leads

-- attempt: set_config in a CTE, then a second statement
-- broken: plain setting
WITH x AS MATERIALIZED (SELECT set_config('app.tenant_seal', {forged}, true)) SELECT 1 FROM x;SELECT organization_id,
company FROM leads

-- attempt: a stacked SET LOCAL
-- broken: plain setting
SET LOCAL app.tenant_seal = {forged}; SELECT company FROM leads

-- attempt: a stacked SET for the session
-- broken: plain setting
SET app.tenant_seal = {forged}; COMMIT; SELECT company FROM leads; RESET app.tenant_seal

-- attempt: a DO block
-- broken: plain setting
DO $$ BEGIN PERFORM set_config('app.tenant_seal', {forged}, true); END $$; SELECT company FROM leads

-- attempt: a transaction of its own
-- broken: plain setting
COMMIT; BEGIN; SELECT set_config('app.tenant_seal', {forged}, true); SELECT company FROM leads

-- attempt: a savepoint rolled back
-- broken: plain setting
SAVEPOINT x; SET LOCAL app.tenant_seal = ''; ROLLBACK TO x; SET LOCAL app.tenant_seal = {forged};SELECT company FROM
leads

-- attempt: an earlier function of ours
-- broken: plain setting
SELECT set_config('app.tenant_seal', {forged}, true); SELECT name, organization_id FROM app.load_tenant(NULL)

-- attempt: a prepared statement bound anew
-- broken: plain setting
PREPARE p AS SELECT company FROM leads; EXECUTE p; SET LOCAL app.tenant_seal = {forged}; EXECUTE p;DEALLOCATE p

-- attempt: the key read, a seal made
-- broken: readable key
SELECT {theirs}, inner_key, outer_key FROM app.seal_keys

-- attempt: a select without a condition
-- broken: no policies
SELECT company FROM leads

-- attempt: a union
-- broken: no policies
SELECT 'x' UNION ALL SELECT company FROM leads

-- attempt: or true
-- broken: no policies
SELECT company FROM leads WHERE organization_id = {mine} OR 1 = 1

-- attempt: a subquery in the list
-- broken: no policies
SELECT (SELECT string_agg(company, ',') FROM leads)

-- attempt: a lateral join
-- broken: no policies
SELECT y.company FROM organizations x, LATERAL (SELECT company FROM leads) y

-- attempt: a recursive query
-- broken: no policies
WITH RECURSIVE r AS (SELECT company, 1 AS n FROM leads UNION ALL SELECT company, n + 1 FROM r WHERE n < 2) SELECT *
FROM r

-- attempt: a cursor
-- broken: no policies
DECLARE c SCROLL CURSOR FOR SELECT company FROM leads; FETCH ALL FROM c

-- attempt: a cursor that outlives the transaction
-- broken: no policies
DECLARE c CURSOR WITH HOLD FOR SELECT company FROM leads; COMMIT; FETCH ALL FROM c; CLOSE c

-- attempt: a composite row
-- broken: no policies
SELECT leads FROM leads

-- attempt: a locked row
-- broken: no policies
SELECT company FROM leads FOR UPDATE

-- attempt: returning of an update
-- broken: no policies
UPDATE leads SET company = company RETURNING company

-- attempt: returning of a delete
-- broken: no policies
DELETE FROM lead_events RETURNING organization_id

-- attempt: returning of a conflict
-- broken: no policies
INSERT INTO leads (organization_id, id, email) SELECT organization_id, id, '' FROM leads ON CONFLICT (organization_id,
id) DO UPDATE SET source = 'x' RETURNING company

-- attempt: returning of a conflict with a known id
-- broken: no policies
INSERT INTO leads (organization_id, id, email) VALUES ({theirs}, {their_lead}, '') ON CONFLICT (organization_id, id)
DO UPDATE SET source = 'x' RETURNING company

-- attempt: a merge into known rows
-- broken: no policies
MERGE INTO leads USING (VALUES (1)) AS v ON leads.organization_id = {theirs} WHEN MATCHED THEN UPDATE SET source =
'x'; SELECT company FROM leads WHERE source = 'x'

-- attempt: the text of an error
-- broken: no policies
SELECT company::int FROM leads WHERE company <> 'x'

-- attempt: the text of an error in an index condition
-- broken: no policies
SELECT 1 FROM leads WHERE external_id = '1' AND (company || 'x')::numeric > 0

-- attempt: a question of yes or no
-- broken: no policies
SELECT CASE WHEN EXISTS (SELECT FROM leads WHERE organization_id = {theirs}) THEN {mark} END

-- attempt: the history
-- broken: no policies
SELECT organization_id FROM job_history

-- attempt: the dead letters
-- broken: no policies
SELECT organization_id FROM dead_letters

-- attempt: the outbox
-- broken: no policies
SELECT organization_id FROM outbox

-- attempt: the audit log
-- broken: no policies
SELECT organization_id, detail FROM audit_log

-- attempt: a partition by its own name
-- broken: partitions granted
SELECT organization_id FROM {partition}

-- attempt: a view with its owner's rights
-- broken: views of their owner
SELECT company FROM live_leads

-- attempt: a materialised view
-- broken: views of their owner
SELECT company FROM summary

-- attempt: a function with its owner's rights
-- broken: functions of their owner
SELECT to_jsonb(row) FROM app.find_past_job({theirs}, {their_job}) AS row

-- attempt: the commonest values
-- broken: statistics open
SELECT stavalues1::text, stavalues2::text FROM pg_statistic

-- attempt: what other sessions run
-- broken: not hardened
SELECT query FROM pg_stat_activity

-- attempt: what other sessions run, by the function
-- broken: not hardened
SELECT query FROM pg_stat_get_activity(NULL)

-- attempt: a large object
-- broken: not hardened
SELECT convert_from(lo_get(4242), 'UTF8')

-- attempt: a table that peeks before the policy
-- broken: leakproof peeking
SELECT count(*) FROM leads WHERE public.peek(company)
