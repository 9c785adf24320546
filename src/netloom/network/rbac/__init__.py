"""Sharing: which other projects may use something."""
