"""One source all the way to stereo: plan it, convert its segments, join them."""
