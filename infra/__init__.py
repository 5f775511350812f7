"""Everything about machines: Ray session, logging, containers."""
