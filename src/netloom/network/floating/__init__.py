"""Floating addresses as ports see them: letting go when a port or an address goes."""
