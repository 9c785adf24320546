"""Agents as the service sees them: their reports, what is scheduled to them, their zones."""
