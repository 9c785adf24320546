"""Raft for clustered databases, as Open vSwitch's ovsdb-server speaks it and writes it to disk.

`rpc` is what servers say to one another, `entry` what the log consists of, `state` what a server
keeps on disk (and how that is read back), `machine` the server itself without input and output, and
`membership` how servers come and go. `netloom.ovsdb.cluster` joins a machine to a database;
`docs/design/0006-clusters.md` tells why it is cut so.
"""
