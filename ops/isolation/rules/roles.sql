-- What roles are, and what the server is set to.

-- rule: role-privilege
-- fix: ALTER ROLE <object> NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION;
SELECT rolname::text AS object, 'may pass policies' AS found
FROM pg_roles WHERE rolname LIKE 'genius\_%' AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication);

-- rule: role-member
-- fix: REVOKE every role from <object>.
SELECT member::regrole::text, format('is a member of %s', roleid::regrole)
FROM pg_auth_members JOIN service ON service.oid = member;

-- rule: role-inherits
-- fix: ALTER ROLE <object> NOINHERIT, and grant it the role anew.
SELECT member::regrole::text, format('inherits %s', roleid::regrole)
FROM pg_auth_members WHERE member = 'genius_owner'::regrole AND pg_has_role(member, roleid, 'USAGE');

-- rule: role-makes
-- fix: REVOKE CREATE, TEMPORARY ON the database and its schemas FROM PUBLIC, <object>;
SELECT rolname, 'may make objects'
FROM service
WHERE has_database_privilege(service.oid, current_database(), 'CREATE, TEMPORARY')
   OR has_schema_privilege(service.oid, 'public', 'CREATE') OR has_schema_privilege(service.oid, 'app', 'CREATE');

-- rule: role-setting
-- fix: ALTER ROLE <object> RESET the setting (or ALTER DATABASE).
SELECT coalesce(nullif(setrole, 0)::regrole::text, 'ALL'), format('every connection begins with %s', split_part(setting, '=', 1))
FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS setting
WHERE (setrole = 0 OR setrole::regrole::text LIKE 'genius\_%')
  AND (setdatabase = 0 OR setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()))
  AND (split_part(setting, '=', 1) LIKE 'app.%' OR split_part(setting, '=', 1) IN (
    'role', 'session_authorization', 'row_security', 'search_path', 'session_replication_role', 'backtrace_functions'));

-- rule: role-parameter
-- fix: REVOKE ALL ON PARAMETER <object> FROM the role.
SELECT parname, format('%s may %s it', CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END, acl.privilege_type)
FROM pg_parameter_acl CROSS JOIN aclexplode(paracl) AS acl
WHERE acl.grantee = 0 OR acl.grantee IN (SELECT oid FROM service)
   OR parname = 'backtrace_functions' AND acl.grantee <> 'genius_owner'::regrole
      AND NOT (SELECT rolsuper FROM pg_roles WHERE pg_roles.oid = acl.grantee);

-- rule: server-setting
-- fix: ALTER SYSTEM RESET <object>;
SELECT name, format('is %s', setting)
FROM pg_settings
WHERE (name = 'allow_system_table_mods' AND setting = 'on')
   OR (name = 'session_replication_role' AND setting <> 'origin')
   OR (name = 'lo_compat_privileges' AND setting = 'on')
   OR (name = 'backtrace_functions' AND setting <> '');
