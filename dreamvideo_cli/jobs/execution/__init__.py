"""Where work is done: units that need no registry, by this process or by workers on a Ray cluster."""
