"""Agents: what the network service decided, carried out on a host.

An agent follows the service (`netloom.network.watch`), derives a frozen wish from the replica and
from what its switch has, subtracts what is, and applies ordered steps. It keeps nothing that it
could not find out again.
"""
