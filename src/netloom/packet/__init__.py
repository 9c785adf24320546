"""Bytes of packets: header formats, where headers lie, checksums, building and rewriting.

`headers` are the formats and numbers; `parse` finds the headers of a packet; `build` writes
headers; `edit` rewrites them in place; `checksum` computes; `gso` cuts up what a sender left for
its network card to cut. Nothing here knows of flows.
"""
