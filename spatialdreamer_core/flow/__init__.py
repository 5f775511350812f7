"""Optical flow and its forward-backward check. In the core, flow is always optical flow."""
