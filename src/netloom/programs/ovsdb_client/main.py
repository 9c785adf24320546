"""The program `ovsdb-client`."""

from __future__ import annotations

import sys

from netloom.base.errors import CommandError, NetloomError
from netloom.base.getopt import UsageError
from netloom.base.log import INFO
from netloom.programs import tool
from netloom.programs.ovsdb_client.commands import DATABASE, TABLE, CommandSpec
from netloom.programs.ovsdb_client.options import PROGRAM, Settings, parse_options
from netloom.programs.ovsdb_link import LinkError, in_random_order, leads, open_link
from netloom.transport.address import is_address
from netloom.transport.sync_stream import Deadline

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ovsdb_client.client import Client

DEFAULT_DATABASE = "Open_vSwitch"


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
    client = connect(settings, server, spec, words)
    n_args = len(client.args)
    if n_args < spec.min_args or (spec.max_args is not None and n_args > spec.max_args):
        raise CommandError(f"invalid syntax for '{name}' (use --help for help)")
    module = __import__(f"netloom.programs.ovsdb_client.{spec.where}", fromlist=["*"])
    getattr(module, spec.function)(client)
    return 0


def connect(settings: Settings, server: str, spec: CommandSpec, words: list[str]) -> Client:
    """Connect to one of the comma-separated servers, the leader of the command's database unless
    `--no-leader-only` says that any will do; CommandError if there is none."""
    from netloom.programs.ovsdb_client.client import Client

    remotes = in_random_order(server.split(","))
    reason = ""
    for remote in remotes:
        try:
            client = Client(settings, open_link(remote, Deadline(), settings.tls), server)
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
    raise CommandError(f'failed to connect to "{server}" ({reason})')


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
