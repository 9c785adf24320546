"""What ovsdb-server remembers of its commands for the process that takes its place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from netloom.ovsdb.server_config import ACTIVE_BACKUP, RELAY, DatabaseConfig, source_of
from netloom.programs.ovsdb_kept import KeptArguments
from netloom.programs.ovsdb_server import Arguments


def test_arguments_stay_until_something_was_kept() -> None:
    arguments = Arguments()
    arguments.databases = ["conf.db"]
    KeptArguments().restore(arguments)
    assert arguments.databases == ["conf.db"]


def test_what_commands_changed_takes_the_place_of_the_arguments() -> None:
    pair = DatabaseConfig(ACTIVE_BACKUP, source_of("tcp:10.0.0.1:6640"), True)
    relay = DatabaseConfig(RELAY, source_of("tcp:10.0.0.2:6640"))
    file = SimpleNamespace(cluster=None, store=SimpleNamespace(log=SimpleNamespace(path="/d/a")))
    common = SimpleNamespace(active="tcp:10.0.0.1:6640", excluded="A:T", is_backup=True)
    configured = lambda: iter([("A", pair), ("R", relay)])  # noqa: E731 - a stand-in
    program: Any = SimpleNamespace(
        databases=SimpleNamespace(common=common, configured=configured),
        remotes=SimpleNamespace(wanted={"punix:/s": None}),
        server=SimpleNamespace(served={"A": file, "R": SimpleNamespace()}),
    )
    kept = KeptArguments()
    for _ in range(2):
        kept.keep(program)
    arguments = Arguments()
    kept.restore(arguments)
    assert arguments.databases == ["/d/a", "relay:R:tcp:10.0.0.2:6640"]
    assert arguments.remotes == {"punix:/s"}
    assert (arguments.sync_from, arguments.sync_exclude) == ("tcp:10.0.0.1:6640", "A:T")
    assert not arguments.is_active
