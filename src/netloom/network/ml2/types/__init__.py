"""The built-in network types."""
