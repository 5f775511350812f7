"""Stereo geometry: disparity, forward splat, backward warp, disocclusion, hole filling."""
