"""Bulk writes: one statement per request, whatever its size."""
