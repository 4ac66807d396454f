"""Many compositions from one file."""
