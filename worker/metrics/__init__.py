"""What a worker and its lanes tell Prometheus: by kind, lane, plan and ending, and of few tenants."""
