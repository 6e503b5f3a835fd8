"""Our pages beside Flower's: tenants, one tenant, why a job waits, dead letters."""

from typing import Any, Final

from tornado.web import StaticFileHandler, url

from ops.flower.dead_letters import DeadLettersPage, RequeueAction
from ops.flower.jobs import FindJobPage, JobPage
from ops.flower.template import OURS
from ops.flower.tenants import PauseAction, ResumeAction, TenantPage, TenantsPage, WeightAction

ASSETS: Final = str(OURS.with_name("assets"))

PAGES: Final[list[Any]] = [
    url(r"/tenants", TenantsPage, name="tenants"),
    url(r"/tenants/([^/]+)", TenantPage, name="tenant"),
    url(r"/tenants/([^/]+)/pause", PauseAction, name="pause"),
    url(r"/tenants/([^/]+)/resume", ResumeAction, name="resume"),
    url(r"/tenants/([^/]+)/weight", WeightAction, name="weight"),
    url(r"/tenants/([^/]+)/requeue", RequeueAction, name="requeue"),
    url(r"/jobs", FindJobPage, name="find_job"),
    url(r"/jobs/([^/]+)/([^/]+)", JobPage, name="job"),
    url(r"/deadletters", DeadLettersPage, name="dead_letters"),
    url(r"/assets/(.*)", StaticFileHandler, {"path": ASSETS}, name="assets"),
]
