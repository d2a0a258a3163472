"""State that changes whole: what a batch changes at once, and a network in a file."""
