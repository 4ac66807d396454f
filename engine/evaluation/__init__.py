"""Measuring videos: judges' features, the metrics on them, intervals, and instruments that read the small world."""
