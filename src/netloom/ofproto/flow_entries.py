"""The flows of a reply as bytes, straight from the rules: what a dump of many flows is made of.

An entry is what `openflow.codec_flow_rows` writes of a `FlowStats`. Flows of a table are alike:
those that came together have the same age, and most have the same priority, timeouts and actions.
So an entry is put together of pieces, and those that it shares with the one before are not made
again: its head up to the cookie, and its actions. The pieces of a message are joined once.

Limits: the replies of OpenFlow 1.1 to 1.4, and Nicira's of 1.0; `has_form` says so.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from netloom.flow.match import Match
from netloom.ofproto.rules import Rule
from netloom.openflow import messages as m
from netloom.openflow.codec import MAX_PART
from netloom.openflow.codec_flow_rows import ActionWriter, encode_flags, log_too_long, max_entry
from netloom.openflow.oxm import encode_ofp12_match, oxm_table
from netloom.openflow.oxm_template import Recipe

_pack_head: Final = Struct(">HBxII5H2x").pack
_pack_nx_head: Final = Struct(">HBxII6H").pack
_pack_counts: Final = Struct(">QQQ").pack
#: Of an entry, before its match.
_FIXED_BYTES: Final = 48


def has_form(version: int, nx: bool) -> bool:
    """Can flows be written here for a session of this version?"""
    return nx if version == m.OFP10_VERSION else version < m.OFP15_VERSION


def flow_parts(rules: list[Rule], version: int, nx: bool, now_ms: int) -> list[bytes]:
    """The bodies of the messages of a reply."""
    writer = _EntryWriter(version, nx, now_ms)
    parts: list[bytes] = []
    part: list[bytes] = []
    left = MAX_PART
    longest = max_entry(nx)
    for rule in rules:
        size = writer.measure(rule)
        if size > left:
            if size > longest:
                log_too_long()
                continue
            if part:
                parts.append(b"".join(part))
                part.clear()
                left = MAX_PART
        left -= size
        writer.add_to(part, rule)
    if part:
        parts.append(b"".join(part))
    return parts


def _age(since_ms: int, now_ms: int) -> int:
    """Whole seconds as they travel: one more, as 0 is unknown."""
    return min(max((now_ms - since_ms) // 1_000, 0) + 1, 0xFFFF)


def _are_alike(a: Rule, b: Rule) -> bool:
    """Is the same to be told of both before the counters?"""
    return (
        a.created_ms == b.created_ms
        and a.priority == b.priority
        and a.table_id == b.table_id
        and a.idle_timeout_s == b.idle_timeout_s
        and a.hard_timeout_s == b.hard_timeout_s
        and a.flags == b.flags
        and a.importance == b.importance
    )


class _EntryWriter:
    """Writes the entries of one reply: `measure`, then `add_to`, for each."""

    __slots__ = (
        "_actions", "_body", "_head", "_last", "_last_match_size", "_last_size", "_match_size",
        "_now_ms", "_nx", "_recipe", "_size", "_table", "_version", "_writer",
    )  # fmt: skip

    def __init__(self, version: int, nx: bool, now_ms: int) -> None:
        self._version = version
        self._nx = nx
        self._now_ms = now_ms
        self._table = oxm_table(1 if nx else version)
        self._writer = ActionWriter(version)
        #: Of the entry that was measured last: its bytes, those of its match without padding
        #: (Nicira's only), its actions, and how the match is written or, without that, as what.
        self._size = self._match_size = 0
        self._actions = b""
        self._recipe: Recipe | None = None
        self._body = b""
        #: The head that was made last, and of what: a rule, the sizes of its entry and match.
        self._head = b""
        self._last: Rule | None = None
        self._last_size = self._last_match_size = 0

    def measure(self, rule: Rule) -> int:
        """The bytes of an entry."""
        match = rule.match
        self._actions = self._writer.write(rule.actions, match)
        recipe = self._table.recipe(match)
        if recipe is None:
            self._recipe = None
            self._body = self._write_match(match)
            self._size = _FIXED_BYTES + len(self._body) + len(self._actions)
            return self._size
        self._match_size = recipe.size
        recipe = self._recipe = recipe.padded if self._nx else recipe.framed
        self._size = _FIXED_BYTES + recipe.size + len(self._actions)
        return self._size

    def _write_match(self, match: Match) -> bytes:
        if not self._nx:
            return encode_ofp12_match(match, self._version)
        entries = self._table.encode(match)
        self._match_size = len(entries)
        return entries + bytes(-len(entries) & 7)

    def add_to(self, out: list[bytes], rule: Rule) -> None:
        """Append the entry that was measured last, in pieces."""
        last = self._last
        if last is None or not (_are_alike(last, rule) and self._has_same_head(last, rule)):
            self._make_head(rule)
        out.append(self._head)
        out.append(_pack_counts(rule.cookie, rule.n_packets, rule.n_bytes))
        if self._recipe is None:
            out.append(self._body)
        else:
            self._recipe.add_to(out, rule.match.value)
        out.append(self._actions)

    def _has_same_head(self, last: Rule, rule: Rule) -> bool:
        """Are sizes and, in Nicira's form, ages the same?"""
        return self._size == self._last_size and (
            not self._nx
            or (
                last.used_ms == rule.used_ms
                and last.modified_ms == rule.modified_ms
                and self._match_size == self._last_match_size
            )
        )

    def _make_head(self, rule: Rule) -> None:
        self._last = rule
        self._last_size = self._size
        self._last_match_size = self._match_size
        self._head = self._nx_head(rule) if self._nx else self._plain_head(rule)

    def _plain_head(self, rule: Rule) -> bytes:
        seconds, ms = divmod(max(self._now_ms - rule.created_ms, 0), 1_000)
        flags = rule.flags
        if flags:
            flags = encode_flags(flags, self._version) if self._version >= m.OFP13_VERSION else 0
        return _pack_head(
            self._size, rule.table_id, seconds, ms * 1_000_000, rule.priority, rule.idle_timeout_s,
            rule.hard_timeout_s, flags, rule.importance if self._version >= m.OFP14_VERSION else 0,
        )  # fmt: skip

    def _nx_head(self, rule: Rule) -> bytes:
        seconds, ms = divmod(max(self._now_ms - rule.created_ms, 0), 1_000)
        return _pack_nx_head(
            self._size, rule.table_id, seconds, ms * 1_000_000, rule.priority, rule.idle_timeout_s,
            rule.hard_timeout_s, self._match_size, _age(rule.used_ms, self._now_ms),
            _age(rule.modified_ms, self._now_ms),
        )  # fmt: skip
