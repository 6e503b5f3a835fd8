-- Undoes revision 0013.
DO $$
DECLARE
    body text;
BEGIN
    FOR body IN
        SELECT pg_get_functiondef(oid) FROM pg_proc
        WHERE pronamespace = 'app'::regnamespace AND prosrc LIKE '%PERFORM app.bind(seal => seal)%'
    LOOP
        EXECUTE replace(body, 'PERFORM app.bind(seal => seal)', 'PERFORM set_config(''app.tenant_seal'', seal, true)');
    END LOOP;
    EXECUTE replace(
        pg_get_functiondef('app.verified_tenant()'::regprocedure), 'app.verified_tenant', 'app.sealed_tenant');
END $$;
DROP FUNCTION app.verified_tenant();

CREATE OR REPLACE FUNCTION app.bind(seal text) RETURNS uuid
LANGUAGE plpgsql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF seal IS NOT NULL THEN
        PERFORM set_config('app.tenant_seal', seal, true);
    END IF;
    RETURN app.sealed_tenant();
END $$;
GRANT EXECUTE ON FUNCTION app.bind TO genius_relay;
