"""Analytics rollups: 15-minute buckets from raw events, behind a watermark that loses none."""

from tasks.analytics_rollups import job as job
