"""What the paper has no figure of: speed, size, accuracy and prediction."""
