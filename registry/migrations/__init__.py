"""The steps that make the registry's tables, run by registry/migrating.py."""
