"""The core wrapped for Ray: worker classes and the bounded pool."""
