"""The wiring in Prefect, the run configuration and the spatialdreamer command."""
