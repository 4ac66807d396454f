"""Suites: methods x subjects x motions x prompts x seeds, made and scored, and what came of each."""
