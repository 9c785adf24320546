"""The configuration files that people have, read strictly."""
