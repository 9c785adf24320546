"""What words of flows meant before: files of flows repeat themselves.

A word of a match (`tcp`, `nw_dst=10.0.0.0/8`) does the same to every match: it copies some bits and
sets the others. So does `priority=5` to what is known of the flow. A `FlowMemory` keeps that for
words that came at least twice, and the actions of texts and of parts of texts, so that a file of
flows is read several times faster than its flows one by one. What it costs is memory, up to a few
megabytes; when it is full, what comes new is not kept.

What must hold: a word is only kept if reading it has no other effect. Numbers that may be those
of reserved ports are never kept, for reading them may log a warning.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from netloom.openflow.actions import Action

    #: (actions, whether `drop` is among them, protocols that can say them).
    ReadActions = tuple[tuple[Action, ...], bool, int]

_MAX_ENTRIES: Final = 20_000


class Effect:
    """What a word does: bits of a match that it leaves and that it sets, members of the flow that
    it sets, protocols that can say it."""

    __slots__ = ("found", "keep_mask", "keep_value", "protocols", "set_mask", "set_value")

    def __init__(
        self,
        keep: tuple[int, int],
        put: tuple[int, int],
        protocols: int,
        found: dict[str, int],
    ) -> None:
        self.keep_value, self.keep_mask = keep
        self.set_value, self.set_mask = put
        self.protocols = protocols
        self.found = found


class FlowMemory:
    """One per file of flows, with the names and the command that the file is read with."""

    __slots__ = ("_seen", "actions", "effects", "normal", "parts")

    def __init__(self) -> None:
        self.effects: dict[str, Effect] = {}
        #: Whole texts of actions, and the texts of single ones.
        self.actions: dict[str, ReadActions] = {}
        self.parts: dict[str, ReadActions] = {}
        #: What is known of matches that are normal (`prerequisites.is_normal_as`).
        self.normal: set[tuple[int, int]] = set()
        self._seen: set[str] = set()

    def is_back(self, word: str) -> bool:
        """Whether `word` came before and is worth to be kept now."""
        if word in self._seen:
            return len(self.effects) < _MAX_ENTRIES
        if len(self._seen) < _MAX_ENTRIES and may_be_kept(word):
            self._seen.add(word)
        return False

    @staticmethod
    def keep(where: dict[str, ReadActions], text: str, read: ReadActions) -> None:
        if len(where) < _MAX_ENTRIES and may_be_kept(text):
            where[text] = read


def may_be_kept(text: str) -> bool:
    """Whether no number in `text` can be that of a reserved port (65280 and more, 0xff00 ...)."""
    return "65" not in text and "ff" not in text.lower()


def split_plain(text: str) -> list[str] | None:
    """The words of `text`, if commas and spaces are all that separates them; None if not."""
    if "(" in text or not (text.isascii() and text.isprintable()):
        return None
    return text.replace(",", " ").split()


def split_parts(text: str) -> list[str] | None:
    """The actions in `text`, which are split at commas outside of parentheses; None if there are
    other separators."""
    if " " in text:
        text = text.replace(", ", ",")
        if " " in text:
            return None
    if not (text.isascii() and text.isprintable()):
        return None
    parts = text.split(",")
    if "(" not in text:
        return parts
    out = []
    depth = 0
    start = 0
    for end, part in enumerate(parts, 1):
        depth += part.count("(") - part.count(")")
        if depth <= 0:
            out.append(",".join(parts[start:end]) if end - start > 1 else part)
            start = end
            depth = 0
    if start < len(parts):
        out.append(",".join(parts[start:]))
    return out
