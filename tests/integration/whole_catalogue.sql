-- Everything that migrations make: compared before and after.
WITH ours AS (
    SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('public', 'app')
)
SELECT 'column' AS kind, format('%s.%s.%s', table_schema, table_name, column_name) AS name,
       concat_ws(' ', data_type, is_nullable, column_default) AS definition
FROM information_schema.columns WHERE table_schema IN (SELECT nspname FROM ours)
UNION ALL
SELECT 'constraint', format('%s.%s', conrelid::regclass, conname), pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
FROM pg_index JOIN pg_class ON oid = indexrelid WHERE relnamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT 'relation', oid::regclass::text, concat_ws(
    ' ', relkind, relrowsecurity, relforcerowsecurity, relowner::regrole, reloptions::text,
    (SELECT array_agg(acl::text ORDER BY acl::text) FROM unnest(relacl) AS acl)::text)
FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT 'column grant', format('%s.%s', attrelid::regclass, attname), attacl::text
FROM pg_attribute JOIN pg_class ON oid = attrelid
WHERE attacl IS NOT NULL AND relnamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT 'policy', format('%s.%s', polrelid::regclass, polname), concat_ws(
    ' ', polpermissive, polcmd, polroles::regrole[]::text, pg_get_expr(polqual, polrelid),
    pg_get_expr(polwithcheck, polrelid))
FROM pg_policy
UNION ALL
SELECT 'function', oid::regprocedure::text, concat_ws(
    ' ', pg_get_functiondef(oid), proowner::regrole,
    (SELECT array_agg(acl::text ORDER BY acl::text) FROM unnest(proacl) AS acl)::text)
FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT 'trigger', format('%s.%s', tgrelid::regclass, tgname), pg_get_triggerdef(oid)
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'view', format('%s.%s', schemaname, viewname), definition
FROM pg_views WHERE schemaname IN (SELECT nspname FROM ours)
UNION ALL
SELECT 'type', oid::regtype::text, typtype::text
FROM pg_type WHERE typnamespace IN (SELECT oid FROM ours)
UNION ALL
SELECT 'default privilege', coalesce(defaclnamespace::regnamespace::text, ''), defaclacl::text FROM pg_default_acl
UNION ALL
SELECT 'schema', nspname, (SELECT array_agg(acl::text ORDER BY acl::text) FROM unnest(nspacl) AS acl)::text
FROM pg_namespace WHERE oid IN (SELECT oid FROM ours)
ORDER BY 1, 2, 3
