"""The small world that the embedded base was trained on: drawn individuals that move over painted scenes.

A clip is rendered from a few numbers on the fly, so a data set is a seed. Benchmarks, tests and the
demo draw their references from here, pretraining its data.
"""
