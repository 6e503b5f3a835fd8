"""Lead scoring: fit and engagement, grade, bucket and the reasons for them; a model where there is one."""

from tasks.lead_scoring import job as job
from tasks.lead_scoring import rescore as rescore
from tasks.lead_scoring import training as training
from tasks.lead_scoring import try_rules as try_rules
