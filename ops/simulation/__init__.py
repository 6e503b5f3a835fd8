"""Replay a workload against other weights and caps before they are applied."""
