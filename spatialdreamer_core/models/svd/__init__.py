"""The full-size network: Stable Video Diffusion that sees the rendered view, its holes and the reference view.

Importing the package imports neither torch nor diffusers; its modules do.
"""
