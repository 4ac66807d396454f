"""Learning, composing and measuring customized video: plain functions on paths, configs and models."""
