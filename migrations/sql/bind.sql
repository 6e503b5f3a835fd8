-- The seal is verified once a transaction, and what it says is kept where the application cannot write.
--
-- A policy has to know the tenant in every statement, often several times, and verifying takes longer than most
-- statements of one row. What was verified needs a place that lives as long as the transaction, that every policy
-- reads at no cost and that only this function writes. Postgres has one: a setting reserved for superusers that one
-- role was granted. `backtrace_functions` takes hexadecimal digits and does nothing with them (it names C functions,
-- and none is called like that); migrations/sql/roles.sql grants it to the owner. Where nobody may grant it, the
-- slow way stays: app.verified_tenant, in every policy.

-- app.sealed_tenant as it was until now: verifies the seal in app.tenant_seal, each time it is asked.
DO $$ BEGIN
    EXECUTE replace(pg_get_functiondef('app.sealed_tenant()'::regprocedure), 'app.sealed_tenant', 'app.verified_tenant');
END $$;
REVOKE ALL ON FUNCTION app.verified_tenant FROM PUBLIC, genius_relay;
GRANT EXECUTE ON FUNCTION app.verified_tenant TO genius_app;

-- Returns the tenant to which this transaction is bound; raises 42501 when it is bound to none. Postgres puts this
-- expression in the place of the call: it must stay without SET and without the owner's rights.
CREATE OR REPLACE FUNCTION app.sealed_tenant() RETURNS uuid
LANGUAGE sql STABLE SECURITY INVOKER PARALLEL SAFE
RETURN coalesce(nullif(pg_catalog.current_setting('backtrace_functions'), '')::uuid, app.verified_tenant());

-- Binds the transaction to the tenant that *seal* names, and returns it. NULL: it is bound already, to whom?
CREATE OR REPLACE FUNCTION app.bind(seal text) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant uuid;
BEGIN
    IF seal IS NULL THEN
        RETURN app.sealed_tenant();
    END IF;
    PERFORM set_config('app.tenant_seal', seal, true);
    tenant := app.verified_tenant();
    IF has_parameter_privilege('backtrace_functions', 'SET') THEN
        PERFORM set_config('backtrace_functions', translate(tenant::text, '-', ''), true);
    END IF;
    RETURN tenant;
END $$;
REVOKE ALL ON FUNCTION app.bind FROM PUBLIC, genius_relay;
GRANT EXECUTE ON FUNCTION app.bind TO genius_app;

-- Functions that bound by the setting alone bind by app.bind; the name of its argument tells which they were.
DO $$
DECLARE
    body text;
BEGIN
    FOR body IN
        SELECT pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'app'::regnamespace AND prosrc LIKE '%PERFORM set_config(''app.tenant_seal'', seal, true)%'
          AND proname <> 'bind'
    LOOP
        EXECUTE replace(body, 'PERFORM set_config(''app.tenant_seal'', seal, true)', 'PERFORM app.bind(seal => seal)');
    END LOOP;
END $$;
