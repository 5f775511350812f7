"""Measures of what was made, each with formula and source."""
