"""Flower for operators: behind credentials, with tenants, jobs and dead letters beside its own pages."""
