"""The life of a job step by step, on real Postgres and real Redis, without a worker."""
