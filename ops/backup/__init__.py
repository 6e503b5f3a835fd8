"""Backups that say what they hold, and restores that prove it is there."""
