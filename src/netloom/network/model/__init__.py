"""The resource table: what the API has, in one place, from which everything about it derives."""
