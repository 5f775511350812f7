"""Small rendered worlds with exact depth, flow, second eye and occlusion."""
