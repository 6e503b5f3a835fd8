"""One module per command of `genius`."""
