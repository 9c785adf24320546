"""`ovsdb-client`: a command-line client of any OVSDB server, see ovsdb-client(1).

`options` reads the options, `main` the operands, and connects; `commands` lists the commands,
`client` is what they get. `schemas`, `data`, `backups`, `monitors` and `locks` have the commands;
each is imported when it is used.
"""
