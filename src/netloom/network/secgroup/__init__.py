"""Security groups: what may reach the ports that are in them."""
