"""What the person at the terminal sees and types: output, progress, options, completion."""
