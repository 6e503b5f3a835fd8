"""Tables, and the only doors to them."""
