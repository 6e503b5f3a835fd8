"""The `genius` command: embedded stack, demo, tokens, live view."""
