"""The page of one job: why it waits, or what became of it."""

from tornado.web import HTTPError

from ops import words
from ops.flower.page import Page
from ops.job_view import describe_error, find_owner, look_at_job


class FindJobPage(Page):
    """Finds a job by its id alone."""

    async def get(self) -> None:
        """Go to the job's page."""
        spelled = self.get_argument("id", "", escape=False).partition(":")[0].strip()
        job_id = self.identity(spelled)
        owner = self._seen(spelled) or await self.work(find_owner, self.desk.client, self.desk.relay, job_id)
        if owner is None:
            told = f"No job {job_id} waits or runs. A finished one is found on the page of its organization."
            raise HTTPError(404, told)
        self.redirect(self.reverse_url("job", owner, str(job_id)))

    def _seen(self, job: str) -> str | None:
        """Return whose job it is when Flower has seen an attempt of it."""
        tasks = self.application.events.state.tasks
        found = (tasks.get(f"{job}:{attempts_made}") for attempts_made in range(3))
        return next((task.organization for task in found if task is not None), None)


class JobPage(Page):
    """One job of one organization."""

    async def get(self, organization: str, job: str) -> None:
        """Show where it is and its story."""
        tenant, job_id = await self.tenant(organization), self.identity(job)
        desk = self.desk
        seen = await self.work(look_at_job, desk.database, desk.client, tenant.organization_id, job_id)
        if seen is None:
            raise HTTPError(404, f"{tenant.name} has no job {job_id}.")
        known = {str(task) for task in self._attempts_seen(job_id=str(job_id), most=seen.summary.attempt)}
        self.show(
            "job.html",
            tab="tenants",
            tenant=tenant,
            seen=seen,
            known=sorted(known),
            words=words,
            describe_error=describe_error,
        )

    def _attempts_seen(self, *, job_id: str, most: int) -> list[str]:
        tasks = self.application.events.state.tasks
        return [name for made in range(most + 1) if (name := f"{job_id}:{made}") in tasks]
