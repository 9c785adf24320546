"""Devices of the Linux kernel: packet sockets on existing devices, TAPs for internal ports.

Packets of both kinds carry a `virtio_net_hdr`, so that checksum and segmentation offload of the
senders passes through the switch undone and TCP between two local machines never pays for either.
"""
