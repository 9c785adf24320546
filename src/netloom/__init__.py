"""Netloom: Open vSwitch and Neutron's ML2 in Python, with an eBPF data path.

docs/architecture.md tells the life of a packet and the life of a wish; every folder below lies
on one of these two roads.
"""

__version__ = "0.1.0"

#: The release of Open vSwitch whose commands, protocols and formats this version follows.
OVS_VERSION = "3.7.0"
