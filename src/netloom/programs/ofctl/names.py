"""Names of ports and tables: what the switch calls them, each asked for once.

Two ports (or tables) with the same name have none: the number is used instead.
"""

from __future__ import annotations

import sys

from netloom.openflow import messages as m
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.message_table import read_frame
from netloom.programs.ofctl.options import Fatal
from netloom.programs.ofctl.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.flow_text import Names
    from netloom.openflow.message_text import Style
    from netloom.programs.ofctl import Context


def port_list(switch: Switch) -> list[m.PhyPort]:
    """The ports of an open switch."""
    request: m.Message = m.FeaturesRequest() if switch.version < 4 else m.PortDescRequest()
    ports: list[m.PhyPort] = []
    for data in switch.ask(request):
        reply = switch.decode(data)
        if not isinstance(reply, (m.FeaturesReply, m.PortDescReply)):
            raise Fatal("received bad port description reply")
        ports.extend(reply.ports)
    return ports


def ask_ports(context: Context, name: str) -> list[m.PhyPort]:
    """The ports of the switch `name`, on a connection of their own."""
    switch = Switch(name, context.args, context.xids)
    try:
        return port_list(switch)
    finally:
        switch.close()


def _known_ports(context: Context, name: str) -> list[tuple[str, int]]:
    """Names and numbers of the ports of the switch `name`; asked for once."""
    if name not in context.ports:
        context.ports[name] = [(port.name, port.port_no) for port in ask_ports(context, name)]
    return context.ports[name]


def ask_tables(context: Context, name: str) -> dict[int, str]:
    """The names of the tables of the switch `name`; asked for once."""
    if name not in context.tables:
        context.tables[name] = _ask_tables(context, name)
    return context.tables[name]


def _ask_tables(context: Context, name: str) -> dict[int, str]:
    switch = Switch(name, context.args, context.xids)
    found: dict[int, str] = {}
    try:
        if switch.version >= 4:
            request: m.Message = m.TableFeaturesRequest()
        else:
            request = m.TableStatsRequest()
        for data in switch.ask(request):
            if data[1] == 1:
                return {}
            try:
                found |= _table_names(data)
            except OpenFlowError:
                # A switch whose tables cannot be told apart still has flows to show.
                return {}
    finally:
        switch.close()
    return found


def _table_names(data: bytes) -> dict[int, str]:
    """The names that a reply tells; raises OpenFlowError."""
    frame = read_frame(data)
    if frame.row.name == "OFPST_TABLE_FEATURES":
        from netloom.openflow.codec_features import read_table_names

        return read_table_names(frame)
    if frame.row.name == "OFPST_TABLE" and frame.reply:
        from netloom.openflow.codec_stats import read_table_names

        return read_table_names(frame)
    return {}


def _unique(pairs: list[tuple[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    twice: set[str] = set()
    for name, number in pairs:
        if name in found:
            twice.add(name)
        found[name] = number
    return {name: number for name, number in found.items() if name not in twice}


def _by_number(names: dict[str, int]) -> dict[int, str]:
    return {number: name for name, number in names.items()}


def accepted_names(context: Context, name: str, *, ports_first: bool = False) -> Names:
    """The names that flows given to the switch `name` may use."""
    from netloom.openflow.flow_text import Names

    if context.args.names is False or _is_file_only(name):
        return Names()
    if ports_first:
        _known_ports(context, name)
    tables = ask_tables(context, name)
    return Names(
        _unique(_known_ports(context, name)),
        _unique([(label, number) for number, label in tables.items()]),
    )


def _is_file_only(name: str) -> bool:
    return not name


def shows_names(context: Context) -> bool:
    """Whether output has names in place of numbers."""
    names = context.args.names
    return sys.stdout.isatty() if names is None else names


def shown_style(context: Context, name: str, verbosity: int = 0) -> Style:
    """How to print what came from the switch `name`."""
    from netloom.openflow.message_text import Style

    verbosity += context.args.verbosity
    if not shows_names(context):
        return Style(verbosity)
    tables = _unique([(label, number) for number, label in ask_tables(context, name).items()])
    ports = _unique(_known_ports(context, name))
    return Style(verbosity, _by_number(ports), _by_number(tables))


def port_names(context: Context, name: str) -> dict[int, str]:
    """The names of the ports of the switch `name`, by number."""
    return _by_number(_unique(_known_ports(context, name)))


def find_port(context: Context, text: str) -> int:
    """The port that `text` names: a number, a reserved name, or a name of the switch's."""
    from netloom.flow.ports import parse_port, unquote_name

    port = parse_port(text)
    if port is not None:
        return port
    if context.args.names is not False:
        name = unquote_name(text)
        for found in ask_ports(context, context.switch):
            if found.name == name:
                return found.port_no
    raise Fatal(f"{context.switch}: unknown port `{text}'")
