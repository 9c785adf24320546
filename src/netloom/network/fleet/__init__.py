"""The fleet of agents: their reports, their state as the API shows it, and what they host."""
