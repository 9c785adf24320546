"""The Open vSwitch database: types, schemas, transactions, monitors, files, both ends of the wire.

The road of a value: `types` and `schema` say what a column may hold; `datum` turns JSON into Python
values and back, `datum_text` does so for the command line; `condition` and `mutation` work on them;
`transact` runs operations against a `database`, `commit` checks and completes the result as a
whole; `monitor` tells clients, `log_file` the disk. `session` is the server's side of one
connection, `idl` the client's replica of a database with `idl_txn` for its changes.

All of it is sans-IO except the log file, whose reads and writes are ordinary file calls.
"""

from __future__ import annotations


def schemas_directory() -> str:
    """Where the schemas that come with this package are."""
    return __file__.rpartition("/")[0] + "/schemas"
