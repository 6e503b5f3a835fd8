-- Attempts to write that are nothing but text: their name, the copy on which they get across, a query whose answer changes
-- when the other tenant was reached, and what an injection sends.

-- attempt: an insert as the other
-- broken: no policies
-- evidence: SELECT count(*) FROM campaigns WHERE organization_id = {theirs}
INSERT INTO campaigns (organization_id, name) VALUES ({theirs}, 'planted')

-- attempt: an insert from a select
-- broken: no policies
-- evidence: SELECT count(*) FROM campaigns WHERE organization_id = {theirs}
INSERT INTO campaigns (organization_id, name) SELECT organization_id, 'planted' FROM leads

-- attempt: an update of all
-- broken: no policies
-- evidence: SELECT count(*) FROM leads WHERE source = 'stolen' AND organization_id = {theirs}
UPDATE leads SET source = 'stolen'

-- attempt: an update by a join
-- broken: no policies
-- evidence: SELECT count(*) FROM leads WHERE source = 'stolen' AND organization_id = {theirs}
UPDATE leads SET source = 'stolen' FROM organizations o WHERE o.organization_id = leads.organization_id

-- attempt: a delete of all
-- broken: no policies
-- evidence: SELECT count(*) FROM outbox WHERE organization_id = {theirs}
DELETE FROM outbox

-- attempt: a merge that deletes
-- broken: no policies
-- evidence: SELECT count(*) FROM outbox WHERE organization_id = {theirs}
MERGE INTO outbox USING organizations o ON o.organization_id = outbox.organization_id WHEN MATCHED THEN DELETE

-- attempt: a row moved to the other
-- broken: generous grants
-- evidence: SELECT count(*) FROM campaigns WHERE organization_id = {theirs}
INSERT INTO campaigns (organization_id, id, name) VALUES ({mine}, {fresh}, 'mine');UPDATE campaigns SET
organization_id = {theirs} WHERE id = {fresh}

-- attempt: a truncate
-- broken: generous grants
-- evidence: SELECT count(*) FROM outbox WHERE organization_id = {theirs}
TRUNCATE outbox

-- attempt: a trigger of its own
-- broken: generous grants
-- evidence: SELECT count(*) FROM pg_trigger WHERE tgname = 't'
CREATE TRIGGER t BEFORE UPDATE ON leads FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()

-- attempt: a table of its own
-- broken: generous grants
-- evidence: SELECT count(*) FROM pg_class WHERE relname = 'taken'
CREATE TABLE public.taken AS SELECT company FROM leads

-- attempt: a forged entry in the audit log
-- broken: generous grants
-- evidence: SELECT count(*) FROM audit_log WHERE actor = 'forged' AND organization_id = {theirs}
UPDATE audit_log SET actor = 'forged'

-- attempt: the audit log forgotten
-- broken: generous grants
-- evidence: SELECT position FROM audit_heads WHERE organization_id = {theirs}
UPDATE audit_heads SET position = 0

-- attempt: another's quota given back by a function
-- broken: functions of their owner
-- evidence: SELECT count(*) FROM quota_reservations WHERE organization_id = {theirs} AND state = 'held'
SELECT app.release_quota({theirs}, {their_job})
