"""The program `ovsdb-client`."""

from __future__ import annotations

import select
import sys

from netloom.base.errors import CommandError, NetloomError
from netloom.base.getopt import UsageError
from netloom.base.log import INFO, get_logger
from netloom.programs import tool
from netloom.programs.ovsdb_client.client import Client, ConnectionLost
from netloom.programs.ovsdb_client.commands import DATABASE, TABLE, CommandSpec
from netloom.programs.ovsdb_client.options import PROGRAM, Settings, parse_options
from netloom.programs.ovsdb_link import LinkError, in_random_order, leads, open_link
from netloom.transport.address import is_address
from netloom.transport.sync_stream import Deadline

DEFAULT_DATABASE = "Open_vSwitch"
#: The pauses between attempts to connect, in ms: the first, and the longest that they grow to.
MIN_PAUSE_MS = 1000
MAX_PAUSE_MS = 8000


class NoServer(CommandError):
    """No server could be reached."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv` (the first word is the program's name); its exit status."""
    argv = sys.argv if argv is None else argv
    signals = tool.set_up(PROGRAM, INFO)
    try:
        settings = parse_options(argv[1:])
        settings.signals = signals
        if settings.ask or settings.words[:1] == ["help"]:
            from netloom.programs.ovsdb_client.help import answer

            sys.stdout.write(answer(settings.ask))
            return 0
        return _run(settings)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except NetloomError as error:
        return tool.fatal(PROGRAM, str(error), "")
    finally:
        signals.cleanup()


def _run(settings: Settings) -> int:
    if not settings.words:
        raise CommandError("missing command name; use --help for help")
    name, *words = settings.words
    spec = TABLE.get(name)
    if spec is None:
        raise CommandError(f"unknown command '{name}'; use --help for help")
    server = words.pop(0) if words and is_address(words[0]) else tool.default_remote()
    if spec.is_patient:
        _check_arguments(spec, words)
    pause_ms = MIN_PAUSE_MS
    while True:
        try:
            _run_command(settings, server, spec, words)
            return 0
        except (NoServer, ConnectionLost) as error:
            if not spec.is_patient:
                raise
            get_logger("reconnect").info("%s", error)
        select.poll().poll(pause_ms)
        pause_ms = min(2 * pause_ms, MAX_PAUSE_MS)


def _check_arguments(spec: CommandSpec, args: list[str]) -> None:
    if len(args) < spec.min_args or (spec.max_args is not None and len(args) > spec.max_args):
        raise CommandError(f"invalid syntax for '{spec.name}' (use --help for help)")


def _run_command(settings: Settings, server: str, spec: CommandSpec, words: list[str]) -> None:
    client = connect(settings, server, spec, words)
    _check_arguments(spec, client.args)
    module = __import__(f"netloom.programs.ovsdb_client.{spec.where}", fromlist=["*"])
    getattr(module, spec.function)(client)


def connect(settings: Settings, server: str, spec: CommandSpec, words: list[str]) -> Client:
    """Connect to one of the comma-separated servers, the leader of the command's database unless
    `--no-leader-only` says that any will do; NoServer if there is none."""
    remotes = server.split(",")
    if not settings.tapes.read_random:
        remotes = in_random_order(remotes)
    reason = ""
    for remote in remotes:
        try:
            link = open_link(remote, Deadline(), settings.tls, settings.tapes)
            client = Client(settings, link, server)
            client.args = list(words)
            if spec.needs == DATABASE:
                client.database = _choose_database(client, spec, client.args)
            any_will_do = len(remotes) == 1 or not settings.leader_only or not client.database
            if any_will_do or leads(client.link, client.database):
                return client
            client.link.close()
            reason = f"{remote} is not the cluster's leader"
        except LinkError as error:
            reason = str(error)
    raise NoServer(f'failed to connect to "{server}" ({reason})')


def _choose_database(client: Client, spec: CommandSpec, words: list[str]) -> str:
    """The database that the next word names, or the default one."""
    names = client.call("list_dbs", [])
    if len(words) > spec.min_args and words[0] in names:
        return words.pop(0)
    if DEFAULT_DATABASE in names:
        return DEFAULT_DATABASE
    own = [name for name in names if not name.startswith("_")]
    if len(own) != 1:
        raise CommandError("could not find a default database, please specify a database name")
    return str(own[0])
