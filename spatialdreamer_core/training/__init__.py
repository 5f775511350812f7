"""Training: losses, steps, checkpoints; does not know where clips come from."""
