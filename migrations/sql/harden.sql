-- What Postgres lets everybody do in a database and we let nobody. A superuser runs this once per database, again whenever.

-- All sessions of the application are one role, so that each may see, cancel and end those of every other tenant.
REVOKE EXECUTE ON FUNCTION
    pg_catalog.pg_cancel_backend(integer), pg_catalog.pg_terminate_backend(integer, bigint),
    pg_catalog.pg_stat_get_activity(integer), pg_catalog.pg_stat_get_backend_activity(integer)
FROM PUBLIC;
REVOKE SELECT ON pg_catalog.pg_stat_activity FROM PUBLIC;
GRANT SELECT ON pg_catalog.pg_stat_activity TO pg_monitor, genius_owner;
GRANT EXECUTE ON FUNCTION pg_catalog.pg_stat_get_activity(integer) TO pg_monitor, genius_owner;

-- Large objects have no policies: what one tenant's session keeps in one, the next tenant's may read.
REVOKE EXECUTE ON FUNCTION
    pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea),
    pg_catalog.lo_open(oid, integer), pg_catalog.lo_get(oid), pg_catalog.lo_get(oid, bigint, integer),
    pg_catalog.lo_put(oid, bigint, bytea), pg_catalog.lo_unlink(oid)
FROM PUBLIC;

-- Only migrations write functions; nobody else needs DO blocks.
REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC;
GRANT USAGE ON LANGUAGE plpgsql TO genius_owner;
