"""Resources of a tenant: declared once, reached through one repository, served by one set of routes.

`declaration.Resource` says what one is, `repository.Repository` is the only way to its rows, and
`router.routes_of` makes the routes.
"""
