"""`genius audit verify` and `genius credentials rotate`, on servers that run."""

from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy import LargeBinary
from uuid_utils.compat import uuid7

from models.alert import WebhookEndpoint
from models.organization import Tenant
from models.registry import load_tables
from models.session import Database, tenant_session
from models.social import SocialAccount
from ops.stack import PostgresUrls
from tasks.credentials import SHORT_LIVED, sealed_tables
from tasks.vault import Place, UndecryptableError, Vault
from tests.support.in_process import genius

NEW = "the master key of this year, long enough"
KEY_TEXT = "the key of nobody: 32 bytes or more."


def test_the_command_says_that_every_chain_holds(
    organization: Callable[..., Tenant], environment: dict[str, str]
) -> None:
    acme, globex = organization(name="Acme"), organization(name="Globex")
    done = genius("audit", "verify", "--all", environment=environment)
    assert done.exit_code == 0, done.output
    assert f"{acme.organization_id}: holds, 1 entries" in done.output
    assert f"{globex.organization_id}: holds" in done.output


def test_the_command_names_the_first_broken_link(
    organization: Callable[..., Tenant],
    database: Database,
    database_urls: PostgresUrls,
    environment: dict[str, str],
) -> None:
    acme = organization(name="Acme")
    with tenant_session(database, acme.organization_id) as session:
        for number in range(3):
            session.add(
                WebhookEndpoint(
                    organization_id=acme.organization_id,
                    url=f"https://{number}.example",
                    secret_encrypted=b"x",
                )
            )
            session.flush()
    assert database_urls.superuser_url is not None
    with psycopg.connect(database_urls.superuser_url) as connection:
        connection.execute("UPDATE audit_log SET actor = 'somebody else' WHERE position = 3")
    done = genius("audit", "verify", "--org", str(acme.organization_id), environment=environment)
    assert done.exit_code == 1
    assert "BROKEN at entry 3 of 4" in done.output
    assert "webhook_endpoints.insert" in done.output


@pytest.mark.parametrize("arguments", [(), ("--all", "--org", str(uuid7()))])
def test_the_command_wants_to_know_of_whom(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    done = genius("audit", "verify", *arguments, environment=environment)
    assert done.exit_code == 1
    assert "--org ID, or --all" in done.output


def test_every_column_of_ciphertexts_is_rotated() -> None:
    rotated = {(table.name, column.name) for table, columns in sealed_tables().items() for column in columns}
    ciphertexts = {
        (table.name, column.name)
        for table in load_tables().sorted_tables
        for column in table.columns
        if isinstance(column.type, LargeBinary)
        and "encrypted" in column.name
        and table.name not in SHORT_LIVED
    }
    assert rotated == ciphertexts
    assert ("webhook_endpoints", "previous_secret_encrypted") in rotated


def test_secrets_are_read_under_both_keys_until_all_are_under_the_new_one(
    organization: Callable[..., Tenant], database: Database, environment: dict[str, str]
) -> None:
    acme = organization()
    organization_id, account_id, endpoint_id = acme.organization_id, uuid7(), uuid7()
    former = environment["GENIUS_CREDENTIAL_SECRET"]
    old, both, new = (
        Vault([former.encode()]),
        Vault([NEW.encode(), former.encode()]),
        Vault([NEW.encode()]),
    )
    access = Place(organization_id, "social_accounts", "access_token_encrypted", account_id)
    secret = Place(organization_id, "webhook_endpoints", "secret_encrypted", endpoint_id)
    with tenant_session(database, organization_id) as session:
        account = {"id": account_id, "platform": "bluesky", "handle": "acme.test"}
        sealed = old.encrypt("token", access)
        session.add(SocialAccount(organization_id=organization_id, **account, access_token_encrypted=sealed))
        endpoint = {"id": endpoint_id, "url": "https://hook.example"}
        secrets = {
            "secret_encrypted": both.encrypt("current", secret),
            "previous_secret_encrypted": old.encrypt("previous", secret),
        }
        session.add(WebhookEndpoint(organization_id=organization_id, **endpoint, **secrets))

    changed = environment | {
        "GENIUS_CREDENTIAL_SECRET": NEW,
        "GENIUS_RETIRED_CREDENTIAL_SECRETS": f'["{former}"]',
    }
    with tenant_session(database, organization_id) as session:
        row = session.get_one(WebhookEndpoint, (organization_id, endpoint_id))
        assert both.decrypt(row.previous_secret_encrypted or b"", secret) == "previous", "both keys read"
        with pytest.raises(UndecryptableError):
            new.decrypt(row.previous_secret_encrypted or b"", secret)

    lost = genius(
        "credentials", "rotate", "--all", environment=environment | {"GENIUS_CREDENTIAL_SECRET": KEY_TEXT}
    )
    assert lost.exit_code == 1
    assert "2 unreadable" in lost.output
    first = genius("credentials", "rotate", "--all", environment=changed)
    assert (first.exit_code, "2 rows re-encrypted, 0 unreadable" in first.output) == (0, True), first.output
    again = genius("credentials", "rotate", "--all", environment=changed)
    assert "0 rows re-encrypted, 0 unreadable" in again.output

    with tenant_session(database, organization_id) as session:
        found = session.get_one(SocialAccount, (organization_id, account_id))
        row = session.get_one(WebhookEndpoint, (organization_id, endpoint_id))
        assert new.decrypt(found.access_token_encrypted or b"", access) == "token"
        assert new.decrypt(row.secret_encrypted, secret) == "current"
        assert new.decrypt(row.previous_secret_encrypted or b"", secret) == "previous"
