"""The engine: runs any kind of job for any tenant and knows no kind by name."""
