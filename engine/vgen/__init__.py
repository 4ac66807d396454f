"""Files of the paper's authors (VGen): their names for layers, and what they stored of adapters, tokens, a denoiser."""
