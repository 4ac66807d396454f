"""The trainable parts, and how they attach to a base's sites and leave them without a trace."""
