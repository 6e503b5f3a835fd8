"""The page of all dead letters, and giving them another life."""

from collections.abc import Sequence
from dataclasses import dataclass

from tornado.web import HTTPError

from ops import words
from ops.dead_letter_view import DeadGroup, groups_of, requeue_as, survey_dead
from ops.flower.desk import Desk
from ops.flower.page import Page
from ops.flower.tenants import Action
from ops.job_view import describe_error
from worker.dead_letter import DeadLetterFilter


@dataclass(frozen=True, slots=True)
class DeadRow:
    """One organization's dead letters of one error."""

    group: DeadGroup
    name: str
    error: str


class DeadLettersPage(Page):
    """What died, of every organization."""

    async def get(self) -> None:
        """Show it, the latest first."""
        rows = None if self.desk.relay is None else await self.work(_rows, self.desk)
        self.show("dead_letters.html", tab="dead_letters", rows=rows, words=words)


def _rows(desk: Desk) -> Sequence[DeadRow]:
    assert desk.relay is not None
    groups = survey_dead(desk.relay)
    tenants = desk.directory.find_each(str(group.organization_id) for group in groups)
    errors = {
        (organization_id, one.kind, one.fingerprint): describe_error(one.error)
        for organization_id in {group.organization_id for group in groups}
        for one in groups_of(desk.database, organization_id)
    }
    return [
        DeadRow(
            group,
            tenants[name].name if (name := str(group.organization_id)) in tenants else name,
            errors.get((group.organization_id, group.kind, group.fingerprint)) or "",
        )
        for group in groups
    ]


class RequeueAction(Action):
    async def post(self, organization: str) -> None:
        """Requeue the organization's dead letters of one kind and error."""
        tenant = await self.tenant(organization)
        kind, fingerprint = (self.get_argument(name, "", escape=False) for name in ("kind", "fingerprint"))
        if not kind or not fingerprint:
            raise HTTPError(400, "Name the kind and the fingerprint of what to requeue.")
        done = await self.work(
            requeue_as,
            self.desk.database,
            tenant,
            DeadLetterFilter(kind=kind, fingerprint=fingerprint),
            actor=self.person.actor,
            publisher=self.desk.publisher,
        )
        self.back(tenant, "requeued" if done.refusal is None else "refused", done.requeued)
