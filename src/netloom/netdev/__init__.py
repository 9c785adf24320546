"""Devices: what a port of a data path sends to and receives from."""
