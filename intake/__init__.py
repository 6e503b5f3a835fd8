"""Thin HTTP: authenticate, check, record, publish, answer."""
