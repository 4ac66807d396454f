"""Fine-tuning a base on many captioned clips (paper, appendix A): the result is another base."""
