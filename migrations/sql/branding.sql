-- Whose a domain is, for whoever asks without being anybody yet: a login page.

-- One line a proved domain, whoever else names it. Granted to nobody: the functions below are the only way in.
CREATE TABLE app.domain_holders (
    domain text PRIMARY KEY,
    organization_id uuid NOT NULL,
    proved_at timestamptz NOT NULL  -- when DNS first agreed with this one's token
);

-- Makes the bound tenant the holder of a domain that it has verified, if no other one proved it since; answers whether
-- it holds it now. The last proof counts: who has lost the domain loses its page as soon as the new owner proves it, and
-- does not get it back by a record that was forgotten in DNS, but by a new token.
--
-- Who injects SQL into a session of theirs can write verified_at, and would take another tenant's page by it. So what DNS
-- showed is signed by whoever looked, with the secret of the seals (intake/routes/branding.py).
CREATE FUNCTION app.hold_domain(domain text, expires_at bigint, signature text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant constant uuid := app.sealed_tenant();
    body constant bytea := convert_to(format('domain %s %s %s', domain, tenant, expires_at), 'UTF8');
    given constant bytea := sha256(convert_to(signature, 'UTF8'));
BEGIN
    IF expires_at < extract(epoch FROM now()) OR NOT EXISTS (
        SELECT FROM app.seal_keys
        WHERE valid_until > now()
          AND sha256(convert_to(encode(sha256(outer_key || sha256(inner_key || body)), 'hex'), 'UTF8')) = given
    ) THEN
        RAISE EXCEPTION 'the proof of the domain is forged or has expired' USING ERRCODE = '42501';
    END IF;
    INSERT INTO app.domain_holders AS held (domain, organization_id, proved_at)
    SELECT own.domain, tenant, least(own.verified_at, clock_timestamp())
    FROM public.custom_domains AS own
    WHERE own.organization_id = tenant AND own.domain = hold_domain.domain AND own.verified_at IS NOT NULL
    ON CONFLICT (domain) DO UPDATE SET organization_id = EXCLUDED.organization_id, proved_at = EXCLUDED.proved_at
    WHERE held.proved_at < EXCLUDED.proved_at;
    RETURN EXISTS (
        SELECT FROM app.domain_holders AS held
        WHERE held.domain = hold_domain.domain AND held.organization_id = tenant);
END $$;

-- Answers which tenant holds a domain, or NULL. Only a transaction that is bound to nobody may ask (a seal of the nil
-- id): SQL that is injected into a tenant's session cannot tell by it who else is a customer.
CREATE FUNCTION app.domain_holder(domain text) RETURNS uuid
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF app.sealed_tenant() <> '00000000-0000-0000-0000-000000000000' THEN
        RAISE EXCEPTION 'a tenant may not ask whose a domain is' USING ERRCODE = '42501';
    END IF;
    RETURN (SELECT held.organization_id FROM app.domain_holders AS held WHERE held.domain = domain_holder.domain);
END $$;

-- A domain that is removed, or that DNS does not prove any more, is held no longer.
CREATE FUNCTION app.release_domain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM app.domain_holders AS held
    WHERE held.domain = OLD.domain AND held.organization_id = OLD.organization_id;
    RETURN NULL;
END $$;

CREATE TRIGGER released AFTER DELETE ON public.custom_domains FOR EACH ROW EXECUTE FUNCTION app.release_domain();
CREATE TRIGGER released_by_change AFTER UPDATE OF domain, verified_at ON public.custom_domains FOR EACH ROW
    WHEN (NEW.verified_at IS NULL OR NEW.domain <> OLD.domain) EXECUTE FUNCTION app.release_domain();

REVOKE ALL ON FUNCTION app.hold_domain, app.domain_holder FROM PUBLIC, genius_relay;
REVOKE ALL ON FUNCTION app.release_domain FROM PUBLIC, genius_app, genius_relay;
