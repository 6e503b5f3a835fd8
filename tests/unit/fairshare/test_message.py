import json
from datetime import UTC, datetime, timedelta
from typing import Any

from worker.fairshare.message import decode, entry_of, task_message
from worker.fairshare.options import Options
from worker.fairshare.queue import TenantSettings

PLAIN = TenantSettings(weight=1)


def message(**headers: Any) -> dict[str, Any]:
    return {"body": "[]", "headers": {"task": "a.b", **headers}, "properties": {"delivery_tag": "tag"}}


def test_a_message_without_a_tenant_belongs_to_the_default_one() -> None:
    entry = entry_of(message(), PLAIN)
    assert (entry.tenant, entry.job, entry.kind, entry.due) == ("default", "tag", "a.b", None)


def test_an_eta_becomes_the_due_time_and_leaves_the_message() -> None:
    published = message(eta="2030-01-01T00:00:00+00:00")
    entry = entry_of(published, PLAIN)
    assert entry.due == datetime(2030, 1, 1, tzinfo=UTC)
    assert decode(entry.message.encode())["headers"]["eta"] is None


def test_taking_the_eta_out_leaves_the_publishers_headers_alone() -> None:
    headers = {"task": "a.b", "eta": "2030-01-01T00:00:00+00:00"}
    entry_of({"body": "[]", "headers": headers, "properties": {"delivery_tag": "tag"}}, PLAIN)
    assert headers["eta"] == "2030-01-01T00:00:00+00:00"


def test_an_eta_without_a_zone_is_local_time() -> None:
    entry = entry_of(message(eta="2030-01-01T00:00:00"), PLAIN)
    assert entry.due == datetime(2030, 1, 1).astimezone()


def test_a_stable_id_names_the_job_and_each_retry_is_another() -> None:
    fair = {"id": "job-1"}
    assert entry_of(message(fair=fair, retries=0), PLAIN).job == "job-1"
    assert entry_of(message(fair=fair, retries=2), PLAIN).job == "job-1:2"


def test_a_retry_and_the_next_step_of_a_canvas_are_never_refused() -> None:
    assert not entry_of(message(), PLAIN).must
    assert entry_of(message(retries=1), PLAIN).must
    assert entry_of(message(parent_id="x"), PLAIN).must


def test_a_message_overrides_the_default_settings_of_a_new_tenant() -> None:
    entry = entry_of(message(fair={"weight": 5, "priority_ms": 2000}), TenantSettings(weight=1, cap=3))
    assert json.loads(entry.settings) == {"weight": 5, "cap": 3}
    assert entry.head_start == timedelta(seconds=2)


def test_transport_options_of_others_are_left_alone() -> None:
    options = Options.of({"visibility_timeout": 5, "lease_ms": 1_000, "cap": 2})
    assert (options.lease_ms, options.cap) == (1_000, 2)


def test_settings_spell_only_what_is_given() -> None:
    assert TenantSettings().to_json() == ""
    settings = TenantSettings(cap=False, gap=timedelta(seconds=1), paused_kinds=frozenset({"b", "a"}))
    assert json.loads(settings.to_json()) == {"cap": False, "gap": 1_000_000, "paused_kinds": ["a", "b"]}


def test_a_ready_made_task_message_reads_as_celery_writes_it() -> None:
    raw = task_message("lane", "a.b", task_id="id-1", args=[1, "x"], headers={"tenant": "t"})
    read = decode(raw)
    assert read["headers"]["id"] == "id-1"
    assert read["headers"]["tenant"] == "t"
    assert json.loads(read["body"])[0] == [1, "x"]
