"""The small network: trained here, shipped, and run on a laptop."""
