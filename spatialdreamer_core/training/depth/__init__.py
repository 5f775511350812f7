"""Training of the depth network: data, losses, the loop."""
