"""Customization methods: what is trained, with which prompts and data, and the defaults. One file a method."""
