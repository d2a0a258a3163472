"""Ablations by command: any settings of `slide train`, varied one at a time or crossed, over several seeds."""
