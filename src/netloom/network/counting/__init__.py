"""Counting: quotas and how many addresses are left."""
