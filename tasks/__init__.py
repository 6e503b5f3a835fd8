"""The business: what each kind of job does."""
