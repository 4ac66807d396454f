"""Measuring videos: judges' features, the metrics on them, and intervals."""
