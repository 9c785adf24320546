"""Connection tracking of the userspace data path.

A `ct` action asks which connection a packet belongs to; `ofproto` decides by the answer in the
next pass through the tables. What must hold: no packet raises; a packet that has no place in any
connection is `inv`, with a counted reason; what an answer's tuple is, is unique in its zone, so
that translation can be undone; zones know nothing of each other.

* `tuples`: packet -> tuple, with the checks of lengths and checksums, ICMP errors included
* `tcp`: states and sequence windows; `connection`: one connection and its timeouts
* `nat`: choice of address and port, and the rewriting; `limits`: connections by zone
* `tracker`: the table, and the `ct` action on top of all these
* `fragments`: fragments are held until their packet is whole
* `expected`: connections that FTP and TFTP announce
* `text`: what `dpctl/dump-conntrack` and its siblings print

Cost: one dict lookup and a checksum a packet, about 6 µs; a connection takes about 1.5 kB.
"""
