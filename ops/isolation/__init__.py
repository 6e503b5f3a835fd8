"""The audit of what keeps tenants apart: rules over the database's catalogue, the routes and the code."""
