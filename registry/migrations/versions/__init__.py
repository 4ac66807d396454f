"""One file a revision, in the order that registry/migrating.py lists."""
