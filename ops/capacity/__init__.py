"""What a load needs, by arithmetic from what was measured, and by replaying it."""
