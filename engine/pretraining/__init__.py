"""The recipe of the embedded base: `python -m engine.pretraining --help`."""
