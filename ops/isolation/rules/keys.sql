-- A key that spans tenants tells one what another has; an index that policies cannot use makes everybody slow.

-- rule: primary-key
-- fix: ALTER TABLE <object> ADD PRIMARY KEY (organization_id, id);
SELECT relname AS object, 'no primary key' AS found
FROM tenant_table WHERE NOT EXISTS (SELECT FROM pg_index WHERE indrelid = tenant_table.oid AND indisprimary);

-- rule: unique-key
-- fix: Let the key of <object> begin with organization_id.
SELECT relname, format('unique key %s does not begin with organization_id', indexrelid::regclass)
FROM tenant_table JOIN pg_index ON indrelid = tenant_table.oid AND indisunique
WHERE NOT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = tenant_table.oid AND attnum = indkey[0] AND attname = 'organization_id');

-- rule: exclusion
-- fix: Begin the exclusion constraint of <object> with organization_id WITH =.
SELECT relname, format('exclusion constraint %s spans tenants', conname)
FROM tenant_table JOIN pg_constraint ON conrelid = tenant_table.oid AND contype = 'x'
WHERE NOT EXISTS (
    SELECT FROM pg_attribute JOIN pg_operator ON pg_operator.oid = conexclop[1] AND oprname = '='
    WHERE attrelid = conrelid AND attnum = conkey[1] AND attname = 'organization_id');

-- rule: foreign-key
-- fix: Reference (organization_id, ...) from (organization_id, ...) in <object>.
SELECT relname, format('foreign key %s does not carry organization_id on both sides', conname)
FROM tenant_table JOIN pg_constraint ON conrelid = tenant_table.oid AND contype = 'f'
WHERE (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]) <> 'organization_id'
   OR (SELECT attname FROM pg_attribute WHERE attrelid = confrelid AND attnum = confkey[1]) <> 'organization_id';

-- rule: foreign-key-action
-- fix: Name the columns in the key of <object>: ON DELETE SET NULL (<column>).
SELECT relname, format('foreign key %s would empty organization_id, too', conname)
FROM tenant_table JOIN pg_constraint ON conrelid = tenant_table.oid AND contype = 'f'
WHERE cardinality(conkey) > 1 AND (confdeltype IN ('n', 'd') AND confdelsetcols IS NULL OR confupdtype IN ('n', 'd'));

-- rule: index-expression
-- fix: Store what <object> is indexed by in a column of its own.
SELECT relname, format('index %s is on an expression, which row-level security keeps from being used', indexrelid::regclass)
FROM tenant_table JOIN pg_index ON indrelid = tenant_table.oid AND indexprs IS NOT NULL;

-- rule: index-operator
-- fix: Index <object> by a type whose comparison is leakproof: text, uuid, integers, timestamptz, boolean.
SELECT relname, format('index %s needs %s, which is not leakproof, so that policies keep it from being used',
    indexrelid::regclass, min(amopopr::regoperator::text))
FROM tenant_table JOIN pg_index ON indrelid = tenant_table.oid AND indexprs IS NULL AND NOT indisunique AND NOT indisexclusion
CROSS JOIN unnest(indclass::oid[]) AS class(class)
JOIN pg_opclass ON pg_opclass.oid = class.class
JOIN pg_amop ON amopfamily = opcfamily AND amoplefttype = opcintype AND amoprighttype = opcintype AND amoppurpose = 's'
JOIN pg_operator ON pg_operator.oid = amopopr
JOIN pg_proc ON pg_proc.oid = oprcode
WHERE NOT proleakproof AND opcintype <> 'anyarray'::regtype
GROUP BY relname, indexrelid;

-- rule: native-enum
-- fix: Use text with a CHECK constraint in place of <object>.
SELECT typname::text, 'a native enum has no leakproof comparison'
FROM pg_type WHERE typtype = 'e' AND typnamespace IN ('public'::regnamespace, 'app'::regnamespace);
