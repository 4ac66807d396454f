"""What `dv` does: learn, compose, evaluate, batch, suite. Ties the engine to the registry."""
