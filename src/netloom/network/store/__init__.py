"""The store: explicit SQL in one place, one transaction per request, a journal of changes."""
