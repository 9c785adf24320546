"""`ovsdb-client`: a command-line client of any OVSDB server, see ovsdb-client(1).

`main` reads options and operands and connects; `commands` lists the commands, `client` is what
they get. `schemas`, `data`, `monitors` and `locks` have the commands, imported when used.
"""
