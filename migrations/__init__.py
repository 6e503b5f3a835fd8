"""How a database is made and brought to a revision."""
