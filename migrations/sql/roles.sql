-- The three login roles. A superuser runs this once per cluster; running it again sets the passwords.
-- Reads the settings genius.<role>_password of the session (plain or already hashed).
DO $$
DECLARE
    name text;
    granted text;
BEGIN
    FOREACH name IN ARRAY ARRAY['genius_owner', 'genius_app', 'genius_relay'] LOOP
        IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            EXECUTE format('CREATE ROLE %I', name);
        END IF;
        -- NOINHERIT: the owner may become the relay, but must not carry its policies all the time.
        EXECUTE format('ALTER ROLE %I LOGIN NOINHERIT PASSWORD %L', name, current_setting('genius.' || name || '_password'));
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name
                   AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication)) THEN
            RAISE EXCEPTION 'role % would pass row-level security', name
                USING HINT = 'ALTER ROLE ... NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOREPLICATION';
        END IF;
    END LOOP;

    FOR name, granted IN
        SELECT member.rolname, role.rolname
        FROM pg_catalog.pg_auth_members AS membership
        JOIN pg_catalog.pg_roles AS member ON member.oid = membership.member
        JOIN pg_catalog.pg_roles AS role ON role.oid = membership.roleid
        WHERE member.rolname IN ('genius_app', 'genius_relay')
    LOOP
        EXECUTE format('REVOKE %I FROM %I', granted, name);
    END LOOP;

    IF NOT pg_catalog.pg_has_role('genius_owner', 'genius_relay', 'MEMBER') THEN
        GRANT genius_relay TO genius_owner;
    END IF;
    -- What app.bind has verified is kept in this setting, which nobody else may write: see migrations/sql/bind.sql.
    BEGIN
        GRANT SET ON PARAMETER backtrace_functions TO genius_owner;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'each statement will verify its seal anew: only a superuser may grant SET ON PARAMETER';
    END;
    -- Behind a pooler no connection can say how long it may take: these hold there. Ours say it themselves.
    FOREACH name IN ARRAY ARRAY['genius_app', 'genius_relay'] LOOP
        EXECUTE format('ALTER ROLE %I SET statement_timeout = %L', name, '30s');
        EXECUTE format('ALTER ROLE %I SET idle_in_transaction_session_timeout = %L', name, '1min');
    END LOOP;
END $$;
