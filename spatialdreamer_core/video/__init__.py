"""Media in and out, with PyAV alone: probe, decode, shots, encode, layouts, stereo tags, joining."""
