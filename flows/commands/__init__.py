"""One file per command of ``spatialdreamer``."""
