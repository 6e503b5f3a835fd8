-- Tables are closed by default, and every row says whose it is.

-- rule: forced-policies
-- fix: SELECT app.protect('<object>');
SELECT relname AS object, 'row-level security is not forced' AS found
FROM tenant_table WHERE NOT (relrowsecurity AND relforcerowsecurity);

-- rule: tenant-policy
-- fix: SELECT app.protect('<object>');
SELECT tenant_table.relname, 'policy tenant is missing or is not the one that app.protect writes'
FROM tenant_table WHERE NOT EXISTS (
    SELECT FROM pg_policy AS policy
    WHERE policy.polrelid = tenant_table.oid AND policy.polname = 'tenant'
      AND policy.polpermissive AND policy.polcmd = '*'
      AND policy.polroles @> ARRAY['genius_app'::regrole, 'genius_owner'::regrole]::oid[]
      AND cardinality(policy.polroles) = 2
      AND pg_get_expr(policy.polqual, policy.polrelid) = '(organization_id = ( SELECT app.sealed_tenant() AS sealed_tenant))'
      AND pg_get_expr(policy.polwithcheck, policy.polrelid) = pg_get_expr(policy.polqual, policy.polrelid));

-- rule: floor-policy
-- fix: SELECT app.protect('<object>');
SELECT tenant_table.relname, 'policy tenant_floor is missing or is not the one that app.protect writes'
FROM tenant_table WHERE NOT EXISTS (
    SELECT FROM pg_policy AS policy
    WHERE policy.polrelid = tenant_table.oid AND policy.polname = 'tenant_floor'
      AND NOT policy.polpermissive AND policy.polcmd = '*'
      AND policy.polroles @> ARRAY['genius_app'::regrole, 'genius_owner'::regrole]::oid[]
      AND cardinality(policy.polroles) = 2
      AND pg_get_expr(policy.polqual, policy.polrelid) = '(organization_id = ( SELECT app.sealed_tenant() AS sealed_tenant))'
      AND pg_get_expr(policy.polwithcheck, policy.polrelid) = pg_get_expr(policy.polqual, policy.polrelid));

-- rule: stray-policy
-- fix: DROP POLICY on <object> what app.protect and app.protect_relay do not write.
SELECT policy.polrelid::regclass::text, format('policy %s beside the ones that app.protect writes', policy.polname)
FROM pg_policy AS policy
WHERE policy.polname NOT IN ('tenant', 'tenant_floor')
  AND NOT (policy.polname = 'relay' AND policy.polroles = ARRAY['genius_relay'::regrole]::oid[]);

-- rule: binding
-- fix: Run migrations/sql/bind.sql again: <object> must be STABLE and not LEAKPROOF.
SELECT signature, 'a cached plan may keep its answer for another tenant'
FROM own_function
WHERE signature IN ('app.sealed_tenant()', 'app.verified_tenant()') AND (provolatile <> 's' OR proleakproof);

-- rule: table-owner
-- fix: ALTER TABLE <object> OWNER TO genius_owner;
SELECT relname, format('belongs to %s', relowner::regrole)
FROM relation WHERE relowner <> 'genius_owner'::regrole AND relkind <> 'c';

-- rule: tenant-column
-- fix: Give <object> a column organization_id uuid NOT NULL.
SELECT relname, 'organization_id is not a mandatory uuid'
FROM tenant_table WHERE NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = tenant_table.oid AND attname = 'organization_id' AND attnotnull AND atttypid = 'uuid'::regtype);

-- rule: foreign-table
-- fix: Fetch the rows of <object> by a job that knows whose they are; drop the foreign table.
SELECT relname, 'its rows are checked by another server, if at all' FROM relation WHERE relkind = 'f';

-- rule: rewrite-rule
-- fix: DROP RULE on <object>; a rule runs with its owner's rights.
SELECT relation.relname, format('rule %s rewrites statements', rewrite.rulename)
FROM relation JOIN pg_rewrite AS rewrite ON rewrite.ev_class = relation.oid WHERE rewrite.rulename <> '_RETURN';

-- rule: trigger
-- fix: Let triggers of <object> call functions of the schema app only.
SELECT relation.relname, format('trigger %s calls %s', tgname, tgfoid::regprocedure)
FROM relation JOIN pg_trigger ON tgrelid = relation.oid JOIN pg_proc ON pg_proc.oid = tgfoid
WHERE NOT tgisinternal AND pronamespace <> 'app'::regnamespace;

-- rule: view-rights
-- fix: ALTER VIEW <object> SET (security_invoker = true);
SELECT relname, 'the view runs with its owner''s rights'
FROM relation WHERE relkind = 'v' AND NOT coalesce('security_invoker=true' = ANY (reloptions), false);

-- rule: materialised-view
-- fix: Make a table of <object>, protect it, and fill it per tenant.
SELECT relname, 'a materialised view has no policies' FROM relation WHERE relkind = 'm';

-- rule: sequence
-- fix: DROP SEQUENCE <object>; use app.uuid7().
SELECT relname, 'a sequence tells how many rows all tenants have' FROM relation WHERE relkind = 'S';
