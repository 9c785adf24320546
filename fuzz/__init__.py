"""Fuzzing of everything that reads what others wrote: see `targets` and `python -m fuzz --help`."""
