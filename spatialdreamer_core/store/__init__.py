"""Files that appear whole, plans, commits and manifests, on any fsspec place."""
