-- What a function may do beyond its caller, and what Postgres lets everybody call.

-- rule: function-public
-- fix: REVOKE ALL ON FUNCTION <object> FROM PUBLIC;
SELECT signature AS object, 'PUBLIC may execute it' AS found
FROM own_function WHERE has_function_privilege('pg_monitor', own_function.oid, 'EXECUTE');

-- rule: function-path
-- fix: ALTER FUNCTION <object> SET search_path = pg_catalog, pg_temp;
SELECT signature, 'its search_path is not pinned'
FROM own_function
WHERE NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false) AND prosqlbody IS NULL;

-- rule: function-definer
-- fix: Make <object> SECURITY INVOKER, or revoke it; a new exception goes into ops/isolation/rules/functions.sql.
SELECT signature, format('runs with the owner''s rights for %s', service.rolname)
FROM own_function JOIN service ON has_function_privilege(service.oid, own_function.oid, 'EXECUTE')
WHERE prosecdef AND (signature, service.rolname) NOT IN (VALUES
    ('app.bind(text)', 'genius_app'),
    ('app.verified_tenant()', 'genius_app'),
    ('app.audit(text,text,jsonb)', 'genius_app'),
    ('app.relay_report()', 'genius_app'),
    -- Asked bound to nobody; changed with a proof that the intake signs: migrations/sql/branding.sql.
    ('app.domain_holder(text)', 'genius_app'),
    ('app.hold_domain(text,bigint,text)', 'genius_app'),
    -- An erasure that runs, of the bound tenant: app.check_erasure.
    ('app.find_person(text)', 'genius_app'),
    ('app.scrub_table(regclass,text,text,uuid)', 'genius_app'),
    ('app.forget_rows(regclass,uuid[],uuid)', 'genius_app'),
    ('app.forget_audit(text,uuid)', 'genius_app'),
    ('app.empty_table(regclass,uuid,uuid)', 'genius_app'),
    ('app.forget_jobs(timestamp with time zone,integer)', 'genius_app'),
    ('app.ensure_event_partitions(integer)', 'genius_relay'),
    ('app.turn_history(integer,interval)', 'genius_relay'));

-- rule: function-owner
-- fix: ALTER FUNCTION <object> OWNER TO genius_owner;
SELECT signature, format('belongs to %s', proowner::regrole)
FROM own_function WHERE proowner <> 'genius_owner'::regrole;

-- rule: function-of-all
-- fix: REVOKE EXECUTE ON FUNCTION <object> FROM PUBLIC; migrations/sql/harden.sql does it.
SELECT function.oid::regprocedure::text, format('%s may reach by it what other tenants'' sessions do or keep', service.rolname)
FROM service CROSS JOIN pg_proc AS function
WHERE function.pronamespace = 'pg_catalog'::regnamespace
  AND function.proname IN (
    'pg_cancel_backend', 'pg_terminate_backend', 'pg_stat_get_activity', 'pg_stat_get_backend_activity',
    'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_get', 'lo_put', 'lo_unlink', 'lo_import', 'lo_export',
    'pg_read_file', 'pg_read_binary_file', 'pg_ls_dir', 'pg_stat_file', 'pg_reload_conf', 'pg_logical_slot_get_changes',
    'pg_logical_slot_peek_changes', 'pg_current_logfile', 'pg_promote')
  AND has_function_privilege(service.oid, function.oid, 'EXECUTE')
  -- These look at the attribute REPLICATION themselves.
  AND function.proname !~ '^pg_logical';

-- rule: large-object
-- fix: SELECT lo_unlink(<object>);
SELECT oid::text, 'a large object has no policies' FROM pg_largeobject_metadata;

-- rule: language
-- fix: REVOKE USAGE ON LANGUAGE <object> FROM PUBLIC; migrations/sql/harden.sql does it.
SELECT lanname::text, format('%s may run code of its own in DO blocks', service.rolname)
FROM service CROSS JOIN pg_language
WHERE lanname NOT IN ('internal', 'c', 'sql') AND has_language_privilege(service.oid, pg_language.oid, 'USAGE');

-- rule: extension
-- fix: DROP EXTENSION <object>, or show that it opens no way between tenants and list it here.
SELECT extname::text, 'an extension brings functions that PUBLIC may execute'
FROM pg_extension WHERE extname <> 'plpgsql';

-- rule: notify
-- fix: Let <object> tell others by a row; whoever connects as the application may LISTEN to every channel.
SELECT signature, 'it notifies, and every tenant''s session may listen'
FROM own_function JOIN pg_proc ON pg_proc.oid = own_function.oid WHERE prosrc ~* '(pg_notify|\mnotify\s)';
