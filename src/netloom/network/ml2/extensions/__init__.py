"""The built-in extension drivers."""
