"""Which address a port gets: arithmetic and choice, without a database."""
