"""Commands that show and change how tables are configured."""

from __future__ import annotations

import sys

from netloom.base.log import get_logger
from netloom.flow.ports import unquote_name
from netloom.openflow import messages as m
from netloom.openflow import messages_tables as t
from netloom.openflow.message_text import format_message
from netloom.openflow.number_text import c_int
from netloom.programs.ofctl.names import ask_tables, shown_style
from netloom.programs.ofctl.options import Fatal, versions_text
from netloom.programs.ofctl.switch import Switch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ofctl import Context

_log = get_logger("ofp_table")

_ALL_TABLES = 255
_MISS = {"controller": 0, "continue": 1, "drop": 2}
_MISS_VERSIONS, _NAME_VERSIONS, _EVICT_VERSIONS = (2, 3), (4, 5, 6), (5, 6)
_NAME_BYTES = 32
#: Of a table in OFPST_TABLE_FEATURES: its size, id, command (1.5: change it), name.
_ENTRY_BYTES, _TABLE_AT, _COMMAND_AT, _NAME_AT = 64, 2, 3, 8
_MODIFY = 1


def dump_table_desc(context: Context) -> None:
    """The command `dump-table-desc`."""
    switch = Switch(context.switch, context.args, context.xids)
    if switch.version < min(_EVICT_VERSIONS):
        raise Fatal("dump-table-desc needs OpenFlow 1.4 or later ('-O OpenFlow14')")
    replies = list(switch.ask(t.TableDescRequest()))
    style = shown_style(context, context.switch, 1)
    for data in replies:
        sys.stdout.write(format_message(data, style))


# mod-table


def _table_id(context: Context, text: str) -> int:
    """The table of a number, `all`, or a name."""
    if text.lower() == "all":
        return _ALL_TABLES
    names = {} if context.args.names is False else ask_tables(context, context.switch)
    number = c_int(text)
    if number is None:
        number = {name: table_id for table_id, name in names.items()}.get(unquote_name(text))
    elif not 0 <= number <= 255:
        _log.warn("table %s is outside the supported range 0 through 255", text)
        number = None
    if number is None:
        raise Fatal(f'unknown table "{text}"')
    return number


def _vacancy(setting: str) -> tuple[int, int]:
    """The two limits, in percent."""
    _, _, limits = setting.partition(":")
    down_text, _, rest = limits.partition(",")
    # As ever, what follows another comma is nobody's business.
    up_text = rest.partition(",")[0]
    if not down_text:
        raise Fatal("Vacancy down value missing")
    down = c_int(down_text)
    if down is None or not 0 <= down <= 100:
        raise Fatal(f'Invalid vacancy down value "{down_text}"')
    if not up_text:
        raise Fatal("Vacancy up value missing")
    up = c_int(up_text)
    if up is None or not 0 <= up <= 100:
        raise Fatal(f'Invalid vacancy up value "{up_text}"')
    if down > up:
        raise Fatal("Invalid vacancy range, vacancy up should be greater than vacancy down "
                    "(OFPBPC_BAD_VALUE)")  # fmt: skip
    return down, up


def _versions_of(setting: str, table_id: int) -> tuple[int, ...]:
    """The versions of OpenFlow that have a setting."""
    if setting in _MISS:
        return _MISS_VERSIONS
    if setting in ("evict", "noevict", "novacancy") or setting.startswith("vacancy"):
        return _EVICT_VERSIONS
    if setting.startswith("name:") and table_id != _ALL_TABLES:
        return _NAME_VERSIONS
    raise Fatal(f"invalid table_mod setting {setting}")


def mod_table(context: Context) -> None:
    """The command `mod-table SWITCH TABLE SETTING`."""
    setting = context.operands[2]
    table_id = _table_id(context, context.operands[1])
    having = _versions_of(setting, table_id)
    vacancy = _vacancy(setting) if setting.startswith("vacancy") else None
    usable = tuple(version for version in having if version in context.args.versions)
    if not usable:
        raise Fatal(
            f"table_mod '{setting}' requires one of the OpenFlow versions {versions_text(having)}"
        )
    switch = Switch(context.switch, context.args, context.xids, versions=usable)
    if setting.startswith("name:"):
        _rename(switch, table_id, setting.removeprefix("name:"))
    elif setting in _MISS:
        switch.must_change(switch.encode(m.TableMod(table_id, _MISS[setting])))
    else:
        tables = range(_ALL_TABLES - 1) if table_id == _ALL_TABLES else (table_id,)
        for number in tables:
            _set_eviction(switch, number, setting, vacancy)
    switch.close()


def _description(switch: Switch, table_id: int) -> t.TableDesc:
    """What the switch says of a table; nothing set if it has no such table."""
    found = t.TableDesc(table_id)
    for data in switch.ask(t.TableDescRequest()):
        reply = switch.decode(data)
        assert isinstance(reply, t.TableDescReply)
        found = next((table for table in reply.tables if table.table_id == table_id), found)
    return found


def _set_eviction(
    switch: Switch, table_id: int, setting: str, vacancy: tuple[int, int] | None
) -> None:
    """Changes one of eviction and vacancy events, and leaves the other as it is."""
    now = _description(switch, table_id)
    if setting in ("evict", "noevict"):
        config = now.config & t.OFPTC_VACANCY_EVENTS
        config |= t.OFPTC_EVICTION if setting == "evict" else 0
        eviction = None
        if config & t.OFPTC_VACANCY_EVENTS and now.vacancy is not None:
            vacancy = now.vacancy[:2]
    else:
        config = now.config & t.OFPTC_EVICTION | (t.OFPTC_VACANCY_EVENTS if vacancy else 0)
        eviction = now.eviction_flags
    switch.must_change(switch.encode(m.TableMod(table_id, config, eviction, vacancy)))


def _rename(switch: Switch, table_id: int, name: str) -> None:
    """Sets the features of tables as they are, but for the name of one: all of them, as OpenFlow
    1.3 and 1.4 want it, or that one alone."""
    replies = []
    for data in switch.ask(m.TableFeaturesRequest()):
        switch.decode(data)
        replies.append(data)
    bodies = [_renamed(data[16:], table_id, name) for data in replies]
    if not any(found for _, found in bodies):
        raise Fatal(f"switch does not have table {table_id}")
    if switch.version == max(_NAME_VERSIONS):
        entry = next(found for _, found in bodies if found)
        head = entry[:_ENTRY_BYTES]
        body = _ENTRY_BYTES.to_bytes(2, "big") + head[2:3] + bytes((_MODIFY,)) + head[4:]
        request = switch.encode(m.TableFeaturesRequest(body))
        _set_features(switch, [request])
        return
    first = switch.encode(m.TableFeaturesRequest())
    requests = []
    for number, (body, _) in enumerate(bodies, 1):
        more = 1 if number < len(bodies) else 0
        size = 16 + len(body)
        requests.append(
            first[:2] + size.to_bytes(2, "big") + first[4:10] + bytes((0, more, 0, 0, 0, 0)) + body
        )
    _set_features(switch, requests)


def _renamed(body: bytes, table_id: int, name: str) -> tuple[bytes, bytes]:
    """Features of tables with another name for one of them, and the entry of that one."""
    label = name.encode()[: _NAME_BYTES - 1].ljust(_NAME_BYTES, b"\0")
    out, found = bytearray(), b""
    pos = 0
    while pos + _ENTRY_BYTES <= len(body):
        size = int.from_bytes(body[pos : pos + 2], "big")
        entry = body[pos : pos + size]
        if entry[_TABLE_AT] == table_id:
            entry = found = entry[:_NAME_AT] + label + entry[_NAME_AT + _NAME_BYTES :]
        out += entry
        pos += size
    return bytes(out), found


def _set_features(switch: Switch, requests: list[bytes]) -> None:
    """Sends the parts of a request, and reads what the switch says to it."""
    switch.send(*requests)
    while True:
        reply = switch.reply(requests[-1][4:8])
        switch.decode(reply)
        if not reply[11] & 1:
            return
