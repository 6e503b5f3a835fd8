"""What the intake shows of each table, and the queries that fetch it."""
