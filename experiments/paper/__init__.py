"""A module for each figure or table of the paper, its predecessor, or the talk."""
