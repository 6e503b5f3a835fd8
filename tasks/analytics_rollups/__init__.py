"""Analytics rollups: quarters, marks and days from raw events, behind a watermark that loses none."""

from tasks.analytics_rollups import job as job
from tasks.analytics_rollups import query as query
