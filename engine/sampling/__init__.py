"""From noise to a sample: levels, samplers, what wraps a denoiser, noise. Nothing here knows a model's class."""
