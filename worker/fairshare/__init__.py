"""The fair-share Kombu transport: knows Redis and Kombu only."""
