"""Training of the networks that paint the second eye: one loop, and a recipe for every size and stage."""
