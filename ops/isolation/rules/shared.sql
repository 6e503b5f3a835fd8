-- What the rules share. Each rule is a query of (object, found) that has these at hand.
WITH relation AS (
    SELECT class.oid, class.relname::text, class.relkind, class.relispartition, class.relrowsecurity,
           class.relforcerowsecurity, class.relowner, class.reloptions, class.relacl
    FROM pg_class AS class
    WHERE class.relnamespace = 'public'::regnamespace AND class.relname <> 'alembic_version'
), tenant_table AS (
    SELECT * FROM relation WHERE relkind IN ('r', 'p')
), service AS (
    SELECT oid, rolname::text FROM pg_roles WHERE rolname IN ('genius_app', 'genius_relay')
), granted AS (
    SELECT relation.relname, relation.relkind, relation.relispartition, coalesce(role.rolname::text, 'PUBLIC') AS grantee,
           acl.privilege_type, acl.is_grantable, NULL::text AS attname, NULL::oid AS type
    FROM relation, aclexplode(relation.relacl) AS acl LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
    WHERE acl.grantee <> relation.relowner
    UNION ALL
    SELECT relation.relname, relation.relkind, relation.relispartition, coalesce(role.rolname::text, 'PUBLIC'),
           acl.privilege_type, acl.is_grantable, attribute.attname::text, attribute.atttypid
    FROM relation JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid,
         aclexplode(attribute.attacl) AS acl LEFT JOIN pg_roles AS role ON role.oid = acl.grantee
    WHERE acl.grantee <> relation.relowner
), excessive AS (
    -- Each grant is too much for one reason at most, so that each is one finding.
    SELECT granted.*, format('%s may %s%s', grantee, privilege_type, ' ' || attname) AS found,
        CASE
            WHEN grantee NOT IN ('genius_app', 'genius_relay') THEN 'stranger'
            WHEN is_grantable THEN 'passed on'
            WHEN relispartition THEN 'partition'
            WHEN privilege_type NOT IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') THEN 'verb'
            WHEN relkind = 'v' AND privilege_type <> 'SELECT' OR relkind NOT IN ('r', 'p', 'v') THEN 'kind'
            WHEN privilege_type = 'UPDATE' AND (attname IS NULL OR attname IN ('organization_id', 'id', 'created_at'))
                THEN 'key'
            WHEN grantee = 'genius_relay' AND attname IS NULL AND privilege_type <> 'DELETE' THEN 'relay'
            WHEN grantee = 'genius_relay' AND privilege_type = 'SELECT'
                AND type IN ('jsonb'::regtype, 'bytea'::regtype)
                AND (relname, attname) <> ('organizations', 'plan_overrides') THEN 'relay'
        END AS reason
    FROM granted
), own_function AS (
    SELECT function.oid, function.oid::regprocedure::text AS signature, function.prosecdef, function.proconfig,
           function.proowner, function.prosqlbody, function.provolatile, function.proleakproof, function.prorettype
    FROM pg_proc AS function WHERE function.pronamespace IN ('public'::regnamespace, 'app'::regnamespace)
)
