"""What `monitor SWITCH watch:...` is to be told of: the text, ovs-ofctl(8), "OpenFlow Switch
Monitoring Commands"."""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.flow.fields import FIELD
from netloom.flow.ports import parse_port
from netloom.flow.text import PROTOCOLS, MatchReader
from netloom.flow.words import split_words
from netloom.openflow import messages_monitor as w
from netloom.openflow import protocol as p
from netloom.openflow.action_parse import ActionReader
from netloom.openflow.number_text import atoi

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.openflow.flow_text import Names

_ALL = (
    w.OFPFMF_INITIAL | w.OFPFMF_ADD | w.OFPFMF_REMOVED | w.OFPFMF_MODIFY
    | w.OFPFMF_INSTRUCTIONS | w.OFPFMF_ONLY_OWN
)  # fmt: skip
#: Words that take something away.
_NOT = {
    "!initial": w.OFPFMF_INITIAL, "!add": w.OFPFMF_ADD, "!delete": w.OFPFMF_REMOVED,
    "!modify": w.OFPFMF_MODIFY, "!actions": w.OFPFMF_INSTRUCTIONS, "!own": w.OFPFMF_ONLY_OWN,
}  # fmt: skip


def parse_flow_watch(text: str, names: Names, number: int) -> tuple[w.MonitorRequest, int]:
    """The request with the id `number`, and the protocols that can say it; ConfigError."""
    flags = _ALL
    matches = MatchReader(names.ports)
    found: dict[str, int] = {}
    for name, value in split_words(text):
        if name in _NOT and not value:
            flags &= ~_NOT[name]
        elif name in PROTOCOLS or name == "eth" or name in FIELD:
            matches.read(name, value)
        elif not value:
            raise ConfigError(f"{text}: field {name} missing value")
        elif name == "table":
            table = ActionReader(names.ports, names.tables).table(value)
            if table is None:
                raise ConfigError(f'unknown table "{value}"')
            found["table_id"] = table
        elif name == "out_port":
            port = parse_port(value, names.ports)
            found["out_port"] = atoi(value) if port is None else port
        elif name == "out_group":
            found["out_group"] = atoi(value) & 0xFFFFFFFF
        else:
            raise ConfigError(f"{text}: unknown keyword {name}")
    return w.MonitorRequest(number, flags, matches.match, **found), p.P_ANY
