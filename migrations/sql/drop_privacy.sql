-- Undoes revision 0011. Entries of the audit log keep their places; what stood beside them goes.
DO $$
DECLARE
    own record;
BEGIN
    FOR own IN SELECT tgrelid::regclass AS target, tgname FROM pg_trigger
        WHERE tgname IN ('audited_insert', 'audited_update', 'audited_delete') LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', own.tgname, own.target);
    END LOOP;
    FOR own IN SELECT tgrelid::regclass AS target FROM pg_trigger WHERE tgname = 'audited' LOOP
        EXECUTE format('ALTER TABLE %s ENABLE TRIGGER audited', own.target);
    END LOOP;
END $$;
DROP TRIGGER kept_in_region ON public.organizations;
DROP TABLE app.audit_queue;
DROP FUNCTION app.keep_region, app.find_tenant, app.find_person, app.rows_of, app.check_erasure, app.scrub_table,
    app.scrub_json, app.scrub_text, app.forget_rows, app.forget_audit, app.empty_table, app.tenant_tables, app.words_of,
    app.audited, app.audit_rows, app.audit_difference, app.append_audits, app.chain_audits, app.audit_name,
    app.digest_beside, app.salt;
DROP TABLE public.privacy_requests, public.audit_details, public.audit_names;
