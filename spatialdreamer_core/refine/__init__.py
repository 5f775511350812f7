"""What convert does with a network that paints: which shots earn it, windows and tiles, pasting inside the holes."""
