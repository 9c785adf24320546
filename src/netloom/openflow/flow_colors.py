"""Colors for lines of dump-flows and of messages (ovs-ofctl(8), `--color`), by what words are.

The line is colored as a text: keywords stand where they can be told from values. Marks are SGR
sequences of terminals, each followed by "erase to the end of the line", as grep(1) does it.
"""

from __future__ import annotations

from netloom.flow.fields import FIELD
from netloom.flow.text import PROTOCOLS
from netloom.flow.words import split_words

#: Capability of OVS_COLORS -> default.
DEFAULTS = {
    "ac": "1;31", "dr": "34", "le": "31", "pm": "36", "pr": "35", "sp": "33", "vl": "32",
}  # fmt: skip

_SPECIAL_NAMES = frozenset({"table", "priority"})
#: Flags of flows, which have no color.
_PLAIN_FLAGS = frozenset({
    "send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "no_byte_counts",
})  # fmt: skip
#: Beginnings of fields that have no color.
_PLAIN_FIELDS = ("tun_metadata", "gtpu_")
_SPECIAL_ACTIONS = frozenset({"output", "load", "move", "set_field", "resubmit", "group"})
_VALUE_ACTIONS = frozenset({
    "pop_queue", "ct_clear", "clear_actions", "strip_vlan", "pop_vlan", "dec_mpls_ttl",
    "dec_nsh_ttl", "delete_field",
})  # fmt: skip
_PLAIN_ACTIONS = frozenset({"CONTROLLER"})
#: Their arguments are `name=value` pairs and flags.
_WITH_PAIRS = frozenset({"controller", "sample", "fin_timeout"})
_WITH_ACTIONS = frozenset({"clone", "write_actions"})
_SHOWN_MEMBERS = frozenset({"bundle", "bundle_load"})


def parse_colors(text: str) -> dict[str, str]:
    """The colors that OVS_COLORS says, the defaults for those that it does not."""
    colors = dict(DEFAULTS)
    for word in text.split(":"):
        name, equals, code = word.partition("=")
        if equals and name in colors and not code.strip("0123456789;"):
            colors[name] = code
    return colors


def _pieces(text: str) -> list[str]:
    """`text` at its commas outside of parentheses."""
    out = [""]
    depth = 0
    for char in text:
        depth += (char == "(") - (char == ")")
        if char == "," and depth == 0:
            out.append("")
        else:
            out[-1] += char
    return out


#: Beginnings of words of `diff-flows` that are no match.
_PLAIN_PAIRS = ("table=", "cookie=", "idle_timeout=", "hard_timeout=", "importance=")


def _is_match(word: str) -> bool:
    """Whether a word of a message is a match, or a packet that is shown like one."""
    name, equals, _ = word.partition(",")[0].partition("=")
    return (name == "priority" or name in FIELD) if equals else name in PROTOCOLS


class Painter:
    """Colors lines with the colors of `parse_colors`."""

    def __init__(self, colors: dict[str, str]) -> None:
        self._colors = {name: f"\033[{code}m\033[K" for name, code in colors.items()}

    def _in(self, color: str, text: str) -> str:
        return f"{self._colors[color]}{text}\033[m\033[K"

    def line(self, text: str) -> str:
        """A line of dump-flows."""
        head, found, actions = text.partition("actions=")
        if not found:
            return text
        out = [self._member(word) for word in head.split(" ")]
        return " ".join(out) + self._in("ac", "actions=") + self.actions(actions)

    def message(self, text: str) -> str:
        """A message: of what it says, matches and actions have colors."""
        kind = text.partition(" ")[0]
        if "_IPFIX_" in kind:
            return text
        if kind.endswith("ST_FLOW") and "actions=" in text:
            return "\n".join([self.line(line) for line in text.split("\n")])
        return "\n".join([self._line_of_message(line) for line in text.split("\n")])

    def _line_of_message(self, line: str) -> str:
        head, *buckets = line.split(",bucket=")
        painted = [self._with_actions(bucket) for bucket in buckets]
        if not buckets:
            start, found, actions = head.partition("actions=")
            words = [self._member(word) if _is_match(word) else word for word in start.split(" ")]
            head = self._with_actions(" ".join(words) + found + actions)
        return ",bucket=".join([head, *painted])

    def _with_actions(self, text: str) -> str:
        """`text` with colors in what follows `actions=`, to the end or the size of a packet."""
        head, found, rest = text.partition("actions=")
        actions, size, after = rest.partition(" data_len=")
        return f"{head}{found}{self.actions(actions)}{size}{after}" if found else text

    def compared(self, text: str) -> str:
        """A line of diff-flows: of its words, those of the match and the actions have colors."""
        head, found, actions = text[1:].partition(" actions=")
        out = [
            word if word.startswith(_PLAIN_PAIRS) else self._member(word)
            for word in head.split(" ")
        ]
        return f"{text[:1]}{' '.join(out)}{found}{self.actions(actions)}"

    def _member(self, words: str) -> str:
        """A word of the head, or a match."""
        out, is_pair = [], False
        for word in words.split(","):
            # packet_type=(1,0x894f) is one word, and plain.
            is_pair = (is_pair and word.endswith(")")) or word.startswith("packet_type=(")
            out.append(word if is_pair or not word else self._head_word(word))
        return ",".join(out)

    def _head_word(self, word: str) -> str:
        name, equals, value = word.partition("=")
        if not equals:
            return (
                word
                if word in _PLAIN_FLAGS or word.startswith(_PLAIN_FIELDS)
                else self._in("vl", word)
            )
        if name.startswith(_PLAIN_FIELDS):
            return word
        if name == "conj_id":
            return self._in("pm", name) + equals + value
        return self._in("sp" if name in _SPECIAL_NAMES else "pm", name + equals) + value

    # Actions

    def actions(self, text: str) -> str:
        return ",".join([self._action(piece) for piece in _pieces(text)])

    def _action(self, text: str) -> str:
        name = text
        for end, char in enumerate(text):
            if char in ":(":
                name = text[:end]
                break
        rest = text[len(name) :]
        if rest.startswith("(") and name != "output":
            return self._call(name, rest)
        if name == "drop":
            return self._in("dr", name)
        if not rest:
            color = "sp" if name == "exit" else "vl" if name in _VALUE_ACTIONS else ""
            color = "pr" if name == "dec_ttl" else color
            return self._in(color, name) if color else text
        if rest.startswith("("):
            return self._in("sp", name) + rest
        if name in _PLAIN_ACTIONS:
            return text
        if name in _SPECIAL_ACTIONS:
            return self._in("sp", f"{name}:") + rest[1:].replace("->", self._in("sp", "->"))
        return self._in("pm", f"{name}:") + rest[1:]

    def _call(self, name: str, rest: str) -> str:
        """`name(...)`, perhaps with something behind."""
        if name == "check_pkt_larger":
            return self._in("pm", f"{name}(") + rest[1:]
        if name in ("dec_ttl", "nat"):
            return self._in("pr", name) + self._enclosed("(", self._arguments(name, rest[1:-1]))
        if name == "learn":
            inner = self._learn(rest[1:-1])
            return self._in("le", "learn(") + inner + self._in("le", ")")
        if name == "unroll_xlate":
            inner = ", ".join([self._head_word(word) for word in rest[1:-1].split(", ")])
            return self._enclosed(f"{name}(", inner)
        return self._enclosed(f"{name}(", self._arguments(name, rest[1:-1]))

    def _enclosed(self, start: str, inner: str) -> str:
        return self._in("pr", start) + inner + self._in("pr", ")")

    def _arguments(self, name: str, text: str) -> str:
        if name in _WITH_ACTIONS:
            return self.actions(text)
        if name == "ct":
            return self._ct(text)
        if name == "nat":
            return ",".join([self._nat_word(word) for word in _pieces(text)])
        if name in _WITH_PAIRS:
            words = [self._pair(word, name) for word in _pieces(text) if word]
            return ",".join(words)
        if name in _SHOWN_MEMBERS:
            return text.replace("members:", self._in("pm", "members:"))
        if name == "encap" and "(" in text:
            inner, _, rest = text.partition("(")
            return inner + self._enclosed("(", rest[:-1])
        return text

    def _pair(self, word: str, action: str) -> str:
        name, equals, value = word.partition("=")
        if equals:
            return self._in("pm", name + equals) + value
        return self._in("pm" if action == "sample" else "vl", word)

    def _ct(self, text: str) -> str:
        """The comma behind `exec(...)` is part of its mark, even where nothing follows."""
        out = ""
        for word in _pieces(text) if text else ():
            if word.startswith("exec("):
                out += self._in("pr", "exec(") + self.actions(word[5:-1]) + self._in("pr", "),")
            else:
                out += self._ct_word(word) + ","
        return out.removesuffix(",")

    def _ct_word(self, word: str) -> str:
        name, equals, value = word.partition("=")
        if name.startswith("nat"):
            return self._call("nat", word[3:]) if word != "nat" else self._in("pr", word)
        if not equals:
            return self._in("vl", word)
        return self._in("sp" if name == "table" else "pm", name + equals) + value

    def _nat_word(self, word: str) -> str:
        name, equals, value = word.partition("=")
        if name in ("src", "dst"):
            return self._in("pm", name) + (self._in("pm", equals) if equals else "") + value
        return self._in("vl", word)

    def _learn(self, text: str) -> str:
        out = ""
        for word in _pieces(text):
            comma = "," if out else ""
            name, equals, value = word.partition("=")
            if name in ("priority", "fin_hard_timeout") and equals and comma:
                # The comma is of the word's color.
                out += self._in("sp" if name == "priority" else "pm", f",{name}=") + value
            else:
                out += comma + self._learn_word(word, name, equals, value)
        return out

    def _learn_word(self, word: str, name: str, equals: str, value: str) -> str:
        key = next(split_words(word), ("", ""))[0]
        if key in ("load", "output") and word.startswith(f"{key}:"):
            return self._action(word)
        if not equals:
            return self._in("pm" if word.endswith("]") else "vl", word)
        if name.endswith("]"):
            return self._in("pm", name) + self._in("pm", equals) + value
        return self._in("sp" if name == "table" else "pm", name + equals) + value
