"""How the figures of the embedded base are measured; `benchmarks/embedded_base.py` runs them."""
