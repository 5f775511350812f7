"""Weights that ship, each with a model card beside it."""
