"""Against a real Bluesky server on loopback."""
