"""From the files that a person gives to the arrays that a method learns from."""
