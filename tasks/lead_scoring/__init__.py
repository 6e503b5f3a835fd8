"""Lead scoring: fit and engagement, grade, bucket and the reasons for them; a model where there is one."""

import os

# The processes of a worker share the cores: threads of the linear algebra would spin, waiting for each other.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tasks.lead_scoring import job as job
from tasks.lead_scoring import rescore as rescore
from tasks.lead_scoring import training as training
from tasks.lead_scoring import try_rules as try_rules
