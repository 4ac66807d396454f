"""The `dv` command: parses, asks the engine and the registry, shows. No tensors, no SQL."""
