-- The sealed binding: a session proves with an HMAC for which tenant it works.

-- The secret as two padded keys (RFC 2104), since the core of Postgres has SHA-256 but no HMAC.
-- Granted to nobody: only functions that run with the owner's rights read it.
CREATE TABLE app.seal_keys (
    inner_key bytea PRIMARY KEY CHECK (length(inner_key) = 64),
    outer_key bytea NOT NULL CHECK (length(outer_key) = 64),
    valid_until timestamptz NOT NULL DEFAULT 'infinity'
);

-- Makes a key the one in force. The one before it stays valid for a day, while processes change over.
CREATE FUNCTION app.install_seal_key(new_inner bytea, new_outer bytea) RETURNS void
LANGUAGE sql SECURITY INVOKER SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM app.seal_keys WHERE valid_until < now();
    UPDATE app.seal_keys SET valid_until = now() + interval '1 day'
    WHERE valid_until = 'infinity' AND inner_key <> new_inner;
    INSERT INTO app.seal_keys (inner_key, outer_key) VALUES (new_inner, new_outer)
    ON CONFLICT (inner_key) DO UPDATE SET valid_until = 'infinity';
$$;
REVOKE ALL ON FUNCTION app.install_seal_key FROM PUBLIC, genius_app, genius_relay;

-- Returns the tenant to which this transaction is bound; raises 42501 when it is bound to none.
-- A transaction must begin before the seal expires; it may outlast it.
CREATE FUNCTION app.sealed_tenant() RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    seal constant text := coalesce(current_setting('app.tenant_seal', true), '');
    body constant bytea := convert_to(left(seal, -65), 'UTF8');
    given constant bytea := sha256(convert_to(right(seal, 64), 'UTF8'));
BEGIN
    IF seal = '' THEN
        RAISE EXCEPTION 'no tenant is bound to this transaction' USING ERRCODE = '42501';
    END IF;
    -- Hashes are compared, so that the time it takes tells nothing about the right answer.
    IF NOT EXISTS (
        SELECT FROM app.seal_keys
        WHERE valid_until > now()
          AND sha256(convert_to(encode(sha256(outer_key || sha256(inner_key || body)), 'hex'), 'UTF8')) = given
    ) THEN
        RAISE EXCEPTION 'the tenant seal is forged' USING ERRCODE = '42501';
    END IF;
    IF split_part(seal, '.', 2)::bigint < extract(epoch FROM now()) THEN
        RAISE EXCEPTION 'the tenant seal has expired' USING ERRCODE = '42501';
    END IF;
    RETURN split_part(seal, '.', 1)::uuid;
END $$;
REVOKE ALL ON FUNCTION app.sealed_tenant FROM PUBLIC, genius_relay;
GRANT EXECUTE ON FUNCTION app.sealed_tenant TO genius_app;
