"""Groups from text (ovs-ofctl(8), "Group Syntax").

A group is `group_id=ID,type=TYPE[,selection_method=...][,bucket=...]...`; a bucket's actions may
stand behind `actions=` or by themselves. Each parser also returns the protocols that can express
the result. Errors are ConfigError with the text that ovs-ofctl(8) prints.
"""

from __future__ import annotations

from netloom.base.errors import ConfigError
from netloom.flow.fields import FIELD
from netloom.flow.ports import CONTROLLER, MAX, parse_port
from netloom.flow.value_text import parse_field_value
from netloom.flow.words import beginnings, first_word, split_words, split_words_at
from netloom.openflow import messages_groups as g
from netloom.openflow import protocol as p
from netloom.openflow.action_parse import ActionReader
from netloom.openflow.constants import OFPG_ANY, OFPP_ANY
from netloom.openflow.field_protocols import field_protocols
from netloom.openflow.flow_text import NO_NAMES, Names
from netloom.openflow.number_text import to_u16, to_u32, to_u64

_BUCKET_COMMANDS = p.P_OF10_ANY | p.P_OF15

#: Words that lines of a file of groups may start with.
COMMANDS = {
    "add": g.OFPGC_ADD, "modify": g.OFPGC_MODIFY, "add_or_mod": g.OFPGC_ADD_OR_MOD,
    "delete": g.OFPGC_DELETE, "insert_bucket": g.OFPGC_INSERT_BUCKET,
    "remove_bucket": g.OFPGC_REMOVE_BUCKET,
}  # fmt: skip
_BEGINNINGS = beginnings(COMMANDS)
_TYPES = {
    "all": g.OFPGT_ALL, "select": g.OFPGT_SELECT, "indirect": g.OFPGT_INDIRECT,
    "ff": g.OFPGT_FF, "fast_failover": g.OFPGT_FF,
}  # fmt: skip
_COMMAND_BUCKETS = {
    "first": g.OFPG_BUCKET_FIRST, "last": g.OFPG_BUCKET_LAST, "all": g.OFPG_BUCKET_ALL,
}  # fmt: skip
_METHOD_SIZE = 15

_WITH_TYPE = (g.OFPGC_ADD, g.OFPGC_MODIFY, g.OFPGC_ADD_OR_MOD)
_WITH_BUCKETS = (*_WITH_TYPE, g.OFPGC_INSERT_BUCKET)
_WITH_COMMAND_BUCKET = (g.OFPGC_INSERT_BUCKET, g.OFPGC_REMOVE_BUCKET)


class _GroupReader:
    """Takes the words of one group that are not in its buckets."""

    def __init__(self, command: int) -> None:
        self.command = command
        self.protocols = _BUCKET_COMMANDS if command in _WITH_COMMAND_BUCKET else p.P_ANY
        self.group_id: int | None = None
        self.type: int | None = None
        self.command_bucket: int | None = None
        self.method = ""
        self.param = 0
        self.fields: tuple[tuple[str, int], ...] = ()

    def read(self, name: str, value: str) -> None:
        if name == "command_bucket_id":
            self._read_command_bucket(value)
        elif name == "group_id":
            self._read_id(value)
        elif name == "type":
            self._need_type("type is not needed")
            if value not in _TYPES:
                raise ConfigError(f"invalid group type {value}")
            self.type = _TYPES[value]
        elif name == "selection_method":
            self._need_type("selection method is not needed")
            if len(value) > _METHOD_SIZE:
                raise ConfigError(f"selection method is longer than {_METHOD_SIZE} bytes long")
            self.method = value
            self.protocols &= _BUCKET_COMMANDS
        elif name == "selection_method_param":
            self._need_type("selection method param is not needed")
            self.param = to_u64(value)
            self.protocols &= _BUCKET_COMMANDS
        elif name == "fields":
            self._need_type("fields are not needed")
            self.fields = _parse_fields(value, self.fields)
            self.protocols &= _BUCKET_COMMANDS
            for field, mask in self.fields:
                self.protocols &= field_protocols(FIELD[field], mask)
        else:
            raise ConfigError(f"unknown keyword {name}")

    def _need_type(self, text: str) -> None:
        if self.command not in _WITH_TYPE:
            raise ConfigError(text)

    def _read_command_bucket(self, value: str) -> None:
        if self.command not in _WITH_COMMAND_BUCKET:
            raise ConfigError("command bucket id is not needed")
        if value == "all" and self.command != g.OFPGC_REMOVE_BUCKET:
            raise ConfigError("command_bucket_id=all is not permitted")
        number = _COMMAND_BUCKETS.get(value)
        if number is None:
            number = to_u32(value)
            if number > g.OFPG_BUCKET_MAX and number not in _COMMAND_BUCKETS.values():
                raise ConfigError(f"invalid command bucket id {number}")
        self.command_bucket = number

    def _read_id(self, value: str) -> None:
        if value == "all":
            self.group_id = g.OFPG_ALL
            return
        self.group_id = to_u32(value)
        if self.group_id not in (g.OFPG_ALL,) and self.group_id > g.OFPG_MAX:
            raise ConfigError(f"invalid group id {self.group_id}")

    def check(self) -> None:
        """What can be missing once all words but the buckets are read."""
        if self.group_id is None:
            raise ConfigError("must specify a group_id")
        if self.command in _WITH_TYPE and self.type is None:
            raise ConfigError("must specify a type")
        if self.command == g.OFPGC_INSERT_BUCKET and self.command_bucket is None:
            raise ConfigError("must specify a command bucket id")

    def check_method(self) -> None:
        if self.fields and self.method != "hash":
            raise ConfigError('fields may only be specified with "selection_method=hash"')
        if not self.method and self.param:
            raise ConfigError('selection_method_param is only allowed with "selection_method"')


def _parse_fields(text: str, before: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """Fields and masks, together with those named `before`."""
    found = dict(before)
    for name, value, end in split_words_at(text):
        field = FIELD.get(name)
        if field is None:
            raise ConfigError(f"{text[end:]}: unknown field {name}")
        if field.name in found:
            raise ConfigError(f"{name}: duplicate field")
        number, mask = parse_field_value(field, value) if value else (field.ones, field.ones)
        if mask != field.ones:
            raise ConfigError(f"{value}: wildcards not allowed here")
        if not number:
            raise ConfigError(f"{text[end:]}: values are wildcards here and must not be all-zeros")
        if number != field.ones and not field.maskable:
            raise ConfigError(f"{value}: invalid mask for field {name}")
        found[field.name] = number
    order = {name: place for place, name in enumerate(FIELD)}
    return tuple(sorted(found.items(), key=lambda pair: order[pair[0]]))


def _parse_bucket(text: str, group_type: int, names: Names) -> tuple[g.Bucket, int]:
    """A bucket, and the protocols that can express its actions."""
    weight = int(group_type == g.OFPGT_SELECT)
    port, group, bucket_id = OFPP_ANY, OFPG_ANY, g.OFPG_BUCKET_ALL
    actions = ""
    for name, value in split_words(text):
        keyword = name.lower()
        if keyword == "weight":
            weight = to_u16(value, "weight")
        elif keyword == "watch_port":
            port = _watched_port(value, names)
        elif keyword == "watch_group":
            group = to_u32(value)
            if group > g.OFPG_MAX:
                raise ConfigError(f"invalid watch_group id {group}")
        elif keyword == "bucket_id":
            bucket_id = to_u32(value)
            if bucket_id > g.OFPG_BUCKET_MAX:
                raise ConfigError(f"invalid bucket_id id {bucket_id}")
        elif keyword in ("action", "actions"):
            actions += f"{value},"
        else:
            actions += f"{name}({value}),"
    if not actions:
        raise ConfigError("bucket must specify actions")
    if group_type == g.OFPGT_FF and port == OFPP_ANY and group == OFPG_ANY:
        raise ConfigError("fast failover bucket requires watch_port or watch_group")
    reader = ActionReader(names.ports, names.tables)
    parsed = reader.read(actions.rstrip(","), outer="bucket")
    return g.Bucket(parsed, bucket_id, weight, port, group), reader.protocols


def _watched_port(text: str, names: Names) -> int:
    port = parse_port(text, names.ports)
    if port is None or (port >= MAX and port not in (OFPP_ANY, CONTROLLER)):
        raise ConfigError(f"{text}: invalid watch_port")
    return port


def _split_buckets(text: str) -> tuple[str, list[str]]:
    head, *buckets = text.split("bucket=")
    return head, buckets


def parse_group_mod(
    text: str, command: int | None, names: Names = NO_NAMES
) -> tuple[g.GroupMod, int]:
    """A group mod; `command` None: the text may start with one, `add` if it does not."""
    if command is None:
        command, text = _leading_command(text)
    reader = _GroupReader(command)
    head, bucket_texts = _split_buckets(text)
    if bucket_texts and command not in _WITH_BUCKETS:
        raise ConfigError("bucket is not needed")
    for name, value in split_words(head):
        reader.read(name, value)
    if command == g.OFPGC_DELETE and not text:
        reader.group_id = g.OFPG_ALL
    reader.check()
    reader.check_method()
    group_type = reader.type or g.OFPGT_ALL
    buckets = []
    protocols = reader.protocols
    for bucket_text in bucket_texts:
        # The last bucket's protocols count, as ever.
        bucket, protocols = _parse_bucket(bucket_text, group_type, names)
        buckets.append(bucket)
        # Where buckets are added to a group, its type is not said.
        is_other = group_type != g.OFPGT_SELECT and command != g.OFPGC_INSERT_BUCKET
        if is_other and bucket.weight:
            raise ConfigError("Only select groups can have bucket weights.")
    if group_type == g.OFPGT_INDIRECT and len(buckets) > 1:
        raise ConfigError("Indirect groups can have at most one bucket.")
    where = reader.command_bucket
    assert reader.group_id is not None
    mod = g.GroupMod(
        command, reader.group_id, group_type, tuple(buckets),
        g.OFPG_BUCKET_ALL if where is None else where,
        g.GroupProperties(reader.method, reader.param, reader.fields),
    )  # fmt: skip
    return mod, protocols


def _leading_command(text: str) -> tuple[int, str]:
    text = text.lstrip(" \t\r\n")
    word = first_word(text)
    if word in _BEGINNINGS:
        return _BEGINNINGS[word], text[len(word) :]
    return g.OFPGC_ADD, text


def parse_group_lines(
    lines: list[str], command: int | None, names: Names, where: str
) -> tuple[list[g.GroupMod], int]:
    """Group mods of a file: one per line, `#` starts a comment."""
    groups = []
    usable = p.P_ANY
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip(" \t\r\n")
        if not text:
            continue
        try:
            group, protocols = parse_group_mod(text, command, names)
        except ConfigError as error:
            raise ConfigError(f"{where}:{number}: {error}") from None
        groups.append(group)
        usable &= protocols
    return groups, usable
