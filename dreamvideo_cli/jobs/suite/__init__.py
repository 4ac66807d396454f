"""Every method on the same subjects, motions, prompts and seeds, measured alike."""
