"""The demo: the main job for several tenants, shown and checked."""
