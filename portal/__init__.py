"""The billing portal. Importing this package, or `portal.domain`, imports no Flask."""
