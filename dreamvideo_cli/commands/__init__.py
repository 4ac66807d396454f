"""One command, or one group of them, a file."""
