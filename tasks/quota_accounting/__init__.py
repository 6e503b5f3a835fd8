"""Quota accounting: the ledger is the truth, and what periods say of it is mended."""

from tasks.quota_accounting import job as job
