-- Everything in the catalogue that would let one tenant reach another. No row is a clean bill.
WITH relation AS (
    SELECT class.oid, class.relname, class.relkind, class.relispartition, class.relrowsecurity,
           class.relforcerowsecurity, class.relowner, class.reloptions, class.relacl
    FROM pg_class AS class
    WHERE class.relnamespace = 'public'::regnamespace AND class.relname <> 'alembic_version'
), tenant_table AS (
    SELECT * FROM relation WHERE relkind IN ('r', 'p', 'f')
), service AS (
    SELECT oid, rolname FROM pg_roles WHERE rolname IN ('genius_app', 'genius_relay')
), granted AS (
    SELECT relation.oid, relation.relname, relation.relkind, relation.relispartition,
           coalesce(role.rolname, 'PUBLIC') AS grantee, acl.privilege_type, NULL::name AS attname, NULL::oid AS type
    FROM relation, aclexplode(relation.relacl) AS acl LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
    UNION ALL
    SELECT relation.oid, relation.relname, relation.relkind, relation.relispartition,
           coalesce(role.rolname, 'PUBLIC'), acl.privilege_type, attribute.attname, attribute.atttypid
    FROM relation JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid,
         aclexplode(attribute.attacl) AS acl LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
), own_function AS (
    SELECT function.oid, function.oid::regprocedure::text AS signature, function.prosecdef, function.proconfig,
           function.proacl, function.proowner
    FROM pg_proc AS function WHERE function.pronamespace IN ('public'::regnamespace, 'app'::regnamespace)
)

SELECT format('%s: row-level security is not forced', relname) AS defect
FROM tenant_table WHERE NOT (relrowsecurity AND relforcerowsecurity)
UNION ALL
SELECT format('%s: belongs to %s', relname, relowner::regrole)
FROM relation WHERE relowner <> 'genius_owner'::regrole
UNION ALL
SELECT format('%s: policy %s is missing or is not the one that app.protect writes', relname, wanted.name)
FROM tenant_table CROSS JOIN (VALUES ('tenant', true), ('tenant_floor', false)) AS wanted (name, permissive)
WHERE NOT EXISTS (
    SELECT FROM pg_policy AS policy
    WHERE policy.polrelid = tenant_table.oid AND policy.polname = wanted.name
      AND policy.polpermissive = wanted.permissive AND policy.polcmd = '*'
      AND policy.polroles @> ARRAY['genius_app'::regrole, 'genius_owner'::regrole]::oid[]
      AND cardinality(policy.polroles) = 2
      AND pg_get_expr(policy.polqual, policy.polrelid) = '(organization_id = ( SELECT app.sealed_tenant() AS sealed_tenant))'
      AND pg_get_expr(policy.polwithcheck, policy.polrelid) = pg_get_expr(policy.polqual, policy.polrelid))
UNION ALL
SELECT format('%s: policy %s beside the ones that app.protect writes', policy.polrelid::regclass, policy.polname)
FROM pg_policy AS policy
WHERE policy.polname NOT IN ('tenant', 'tenant_floor')
  AND NOT (policy.polname = 'relay' AND policy.polroles = ARRAY['genius_relay'::regrole]::oid[])
UNION ALL
SELECT format('%s: organization_id is not a mandatory uuid', relname)
FROM tenant_table WHERE NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = tenant_table.oid AND attname = 'organization_id' AND attnotnull AND atttypid = 'uuid'::regtype)
UNION ALL
SELECT format('%s: no primary key', relname)
FROM tenant_table WHERE relkind <> 'f' AND NOT EXISTS (
    SELECT FROM pg_index WHERE indrelid = tenant_table.oid AND indisprimary)
UNION ALL
SELECT format('%s: unique key %s does not begin with organization_id', relname, indexrelid::regclass)
FROM tenant_table JOIN pg_index ON indrelid = tenant_table.oid AND indisunique
WHERE (indexrelid::regclass)::text NOT LIKE 'pg_toast%'
  AND NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = tenant_table.oid AND attnum = indkey[0] AND attname = 'organization_id')
UNION ALL
SELECT format('%s: index %s on an expression, which row-level security keeps from being used', relname, indexrelid::regclass)
FROM tenant_table JOIN pg_index ON indrelid = tenant_table.oid AND indexprs IS NOT NULL
UNION ALL
SELECT format('%s: foreign key %s does not carry organization_id on both sides', tenant_table.relname, conname)
FROM tenant_table JOIN pg_constraint ON conrelid = tenant_table.oid AND contype = 'f'
WHERE (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]) <> 'organization_id'
   OR (SELECT attname FROM pg_attribute WHERE attrelid = confrelid AND attnum = confkey[1]) <> 'organization_id'
UNION ALL
SELECT format('%s: %s may %s%s', relname, grantee, privilege_type, coalesce(' ' || attname, ''))
FROM granted
WHERE grantee <> 'genius_owner' AND (
    grantee NOT IN ('genius_app', 'genius_relay')
    OR relispartition
    OR privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE')
    OR (privilege_type = 'UPDATE' AND (attname IS NULL OR attname IN ('organization_id', 'id', 'created_at')))
    OR (grantee = 'genius_relay' AND attname IS NULL AND privilege_type <> 'DELETE')
    OR (grantee = 'genius_relay' AND privilege_type = 'SELECT' AND type IN ('jsonb'::regtype, 'bytea'::regtype)
        AND (relname, attname) <> ('organizations', 'plan_overrides'))
    OR (relkind = 'v' AND privilege_type <> 'SELECT')
    OR (relkind NOT IN ('r', 'p', 'v')))
UNION ALL
SELECT format('alembic_version: %s may reach it', service.rolname)
FROM service
WHERE has_table_privilege(service.oid, 'public.alembic_version', 'SELECT, INSERT, UPDATE, DELETE')
UNION ALL
SELECT format('%s: %s may reach it, outside the tables of tenants', class.oid::regclass, service.rolname)
FROM service CROSS JOIN pg_class AS class
WHERE class.relnamespace = 'app'::regnamespace AND class.relkind IN ('r', 'p', 'v', 'm', 'S')
  AND NOT (service.rolname = 'genius_relay' AND class.relname IN ('relay_state', 'beats', 'relay_counts'))
  AND CASE class.relkind WHEN 'S' THEN has_sequence_privilege(service.oid, class.oid, 'USAGE, SELECT, UPDATE')
      ELSE has_table_privilege(service.oid, class.oid, 'SELECT, INSERT, UPDATE, DELETE') END
UNION ALL
SELECT format('%s: the view runs with its owner''s rights', relname)
FROM relation
WHERE relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (reloptions), false)
UNION ALL
SELECT format('%s: a materialised view has no policies', relname) FROM relation WHERE relkind = 'm'
UNION ALL
SELECT format('%s: a sequence tells how many rows all tenants have', relname) FROM relation WHERE relkind = 'S'
UNION ALL
SELECT format('%s: a native enum has no leakproof comparison', typname)
FROM pg_type WHERE typtype = 'e' AND typnamespace IN ('public'::regnamespace, 'app'::regnamespace)
UNION ALL
SELECT format('%s: PUBLIC may execute it', signature)
FROM own_function
WHERE has_function_privilege('pg_monitor', own_function.oid, 'EXECUTE')
UNION ALL
SELECT format('%s: its search_path is not pinned', signature)
FROM own_function WHERE NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)
UNION ALL
SELECT format('%s: runs with the owner''s rights for %s', signature, service.rolname)
FROM own_function JOIN service ON has_function_privilege(service.oid, own_function.oid, 'EXECUTE')
WHERE prosecdef AND (signature, service.rolname) NOT IN (
    ('app.sealed_tenant()', 'genius_app'),
    ('app.audit(text,text,jsonb)', 'genius_app'),
    ('app.relay_report()', 'genius_app'),
    ('app.forget_jobs(timestamp with time zone,integer)', 'genius_app'),
    ('app.find_person(text)', 'genius_app'),
    ('app.scrub_table(regclass,text,text,uuid)', 'genius_app'),
    ('app.forget_rows(regclass,uuid[],uuid)', 'genius_app'),
    ('app.forget_audit(text,uuid)', 'genius_app'),
    ('app.empty_table(regclass,uuid,uuid)', 'genius_app'),
    ('app.ensure_event_partitions(integer)', 'genius_relay'),
    ('app.turn_history(integer,interval)', 'genius_relay'))
UNION ALL
SELECT format('%s: belongs to %s', signature, proowner::regrole)
FROM own_function WHERE proowner <> 'genius_owner'::regrole
UNION ALL
SELECT format('role %s: may pass policies', rolname)
FROM pg_roles WHERE rolname LIKE 'genius\_%' AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication)
UNION ALL
SELECT format('role %s: is a member of %s', member::regrole, roleid::regrole)
FROM pg_auth_members JOIN service ON service.oid = member
UNION ALL
SELECT format('role %s: inherits %s', member::regrole, roleid::regrole)
FROM pg_auth_members WHERE member = 'genius_owner'::regrole AND pg_has_role(member, roleid, 'USAGE')
UNION ALL
SELECT format('role %s: may make objects', rolname)
FROM service
WHERE has_database_privilege(service.oid, current_database(), 'CREATE, TEMPORARY')
   OR has_schema_privilege(service.oid, 'public', 'CREATE') OR has_schema_privilege(service.oid, 'app', 'CREATE')
ORDER BY 1
