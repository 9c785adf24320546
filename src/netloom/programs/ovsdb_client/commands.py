"""The table of commands."""

from __future__ import annotations

#: What a command needs: nothing but its arguments, a server, or a server and a database.
NOTHING, SERVER, DATABASE = range(3)


class CommandSpec:
    """One command: its name, its needs, how many arguments, the module of `run_NAME(client)`."""

    __slots__ = ("function", "is_patient", "max_args", "min_args", "name", "needs", "where")

    def __init__(
        self,
        name: str,
        needs: int,
        min_args: int,
        max_args: int | None,
        where: str,
        *,
        is_patient: bool = False,
    ) -> None:
        """`is_patient`: begins anew as often as there is no server, or none any more."""
        self.name = name
        self.needs = needs
        self.min_args = min_args
        self.max_args = max_args
        self.where = where
        self.is_patient = is_patient
        self.function = "run_" + name.replace("-", "_")


SPECS = (
    CommandSpec("list-dbs", SERVER, 0, 0, "schemas"),
    CommandSpec("get-schema", DATABASE, 0, 0, "schemas"),
    CommandSpec("get-schema-version", DATABASE, 0, 0, "schemas"),
    CommandSpec("get-schema-cksum", DATABASE, 0, 0, "schemas"),
    CommandSpec("list-tables", DATABASE, 0, 0, "schemas"),
    CommandSpec("list-columns", DATABASE, 0, 1, "schemas"),
    CommandSpec("needs-conversion", SERVER, 1, 1, "schemas"),
    CommandSpec("convert", SERVER, 1, 1, "schemas"),
    CommandSpec("transact", SERVER, 1, 1, "data"),
    CommandSpec("query", SERVER, 1, 1, "data"),
    CommandSpec("dump", DATABASE, 0, None, "data"),
    CommandSpec("backup", DATABASE, 0, 0, "backups"),
    CommandSpec("restore", DATABASE, 0, 0, "backups"),
    CommandSpec("monitor", DATABASE, 1, None, "monitors"),
    CommandSpec("monitor-cond", DATABASE, 2, 3, "monitors"),
    CommandSpec("monitor-cond-since", DATABASE, 2, 4, "monitors"),
    CommandSpec("wait", SERVER, 2, 2, "locks", is_patient=True),
    CommandSpec("lock", SERVER, 1, 1, "locks"),
    CommandSpec("steal", SERVER, 1, 1, "locks"),
    CommandSpec("unlock", SERVER, 1, 1, "locks"),
)

TABLE = {spec.name: spec for spec in SPECS}
