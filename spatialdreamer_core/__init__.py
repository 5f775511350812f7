"""SpatialDreamer's core: video, depth, flow, stereo geometry, metrics and storage, without a cluster."""

__version__ = "0.1.0"
