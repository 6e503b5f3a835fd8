"""Reports: how an organization fares, as figures with trends and advice, kept as snapshots."""

from tasks.reporting import job as job
