"""Lead scoring: fit and engagement, grade, bucket and the reasons for them."""

from tasks.lead_scoring import job as job
