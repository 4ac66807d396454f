"""What a frozen base model is: where it lies, how it is read, and where its sites are. One file a family."""
