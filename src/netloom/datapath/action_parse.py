"""Data-path actions from text: the reader for what `action_text` prints (ovs-dpctl(8))."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from netloom.base.errors import ConfigError
from netloom.base.record import replace
from netloom.datapath import actions as dp
from netloom.datapath.action_text import USERSPACE
from netloom.datapath.ct_text import parse_ct
from netloom.datapath.tunnel_text import parse_header
from netloom.flow.address import parse_mac
from netloom.flow.odp_parse import parse_odp_flow
from netloom.packet.headers import NSH_MD_TYPE2

PortNumbers = Mapping[str, int]

_SEPARATORS = ", \t\r\n"
_VLAN_CFI = 0x1000
#: Nesting deeper than this is refused, as Open vSwitch does.
MAX_DEPTH = 16
#: Digits of a psample action's cookie, at most: 16 bytes.
_MAX_COOKIE_DIGITS = 32


def parse_actions(text: str, port_numbers: PortNumbers | None = None) -> dp.DpActions:
    """The actions that `text` says; `port_numbers` are data-path ports by name. Raises ConfigError
    for text that is none."""
    if text.strip(_SEPARATORS) == "drop":
        return ()
    return _Reader(port_numbers).actions(text)


_NSH_WORDS = {
    "flags", "ttl", "mdtype", "np", "spi", "si", "c1", "c2", "c3", "c4", "md2",
}  # fmt: skip


class _Reader:
    __slots__ = ("_depth", "_port_numbers")

    def __init__(self, port_numbers: PortNumbers | None) -> None:
        self._port_numbers = port_numbers or {}
        self._depth = 0

    def actions(self, text: str) -> dp.DpActions:
        if self._depth > MAX_DEPTH:
            raise ConfigError("actions nest too deeply")
        self._depth += 1
        found = []
        for word in _split(text):
            try:
                found.append(self._action(word))
            except (ValueError, KeyError) as error:
                raise ConfigError(f"syntax error at {word}") from error
        self._depth -= 1
        return tuple(found)

    def _action(self, word: str) -> dp.DpAction:
        name, opened, rest = word.partition("(")
        if not opened:
            if name in _BARE:
                return _BARE[name]()
            if name in self._port_numbers:
                return dp.Output(self._port_numbers[name])
            return dp.Output(_number(name, 32))
        if not rest.endswith(")"):
            raise ValueError(word)
        return _PARSERS[name](self, rest[:-1])

    def _nested(self, text: str) -> dp.DpActions:
        """The actions of a branch, where nothing may be spelled `drop` too."""
        return () if text == "drop" else self.actions(text)

    def set(self, text: str) -> dp.DpAction:
        header = text.partition("(")[0]
        key, mask = parse_odp_flow(text)
        if header in ("in_port", "encap", "recirc_id", "packet_type"):
            raise ValueError(text)
        return dp.Set(header, key & mask, mask)

    def push_vlan(self, text: str) -> dp.DpAction:
        words = _members(text, {"tpid", "vid", "pcp", "cfi"})
        tci = _number(words["vid"], 12) | _number(words["pcp"], 3) << 13
        cfi = _VLAN_CFI if _number(words.get("cfi", "1"), 1) else 0
        return dp.PushVlan(_number(words.get("tpid", "0x8100"), 16), tci | cfi)

    def push_mpls(self, text: str) -> dp.PushMpls:
        words = _members(text, {"label", "tc", "ttl", "bos", "eth_type"})
        lse = _number(words["label"], 20) << 12 | _number(words["tc"], 3) << 9
        lse |= _number(words["bos"], 1) << 8 | _number(words["ttl"], 8)
        return dp.PushMpls(_number(words["eth_type"], 16), lse)

    def pop_mpls(self, text: str) -> dp.DpAction:
        return dp.PopMpls(_number(_members(text, {"eth_type"})["eth_type"], 16))

    def recirc(self, text: str) -> dp.DpAction:
        return dp.Recirc(_number(text, 32))

    def hash(self, text: str) -> dp.DpAction:
        algorithm, _, rest = text.partition("(")
        if algorithm not in ("l4", "sym_l4") or not rest.endswith(")"):
            raise ValueError(text)
        return dp.Hash(algorithm, _number(rest[:-1], 32))

    def lb_output(self, text: str) -> dp.DpAction:
        return dp.LbOutput(_number(text, 32))

    def trunc(self, text: str) -> dp.DpAction:
        return dp.Trunc(_number(text, 32))

    def clone(self, text: str) -> dp.DpAction:
        return dp.Clone(self.actions(text))

    def sample(self, text: str) -> dp.DpAction:
        words = _members(text, {"sample", "actions"})
        share = words["sample"]
        if not share.endswith("%"):
            raise ValueError(text)
        percent = float(share[:-1])
        if not 0 <= percent <= 100:
            raise ValueError(text)
        return dp.Sample(int(percent / 100 * 0xFFFFFFFF + 0.5), self.actions(words["actions"]))

    def psample(self, text: str) -> dp.DpAction:
        words = _split(text)
        members = _members(text, {"group", "cookie"})
        cookie = members.get("cookie", "")
        if len(words) > len(members) or cookie[:2] not in ("", "0x"):
            raise ValueError(text)
        digits = cookie[2:]
        if len(digits) > _MAX_COOKIE_DIGITS:
            raise ValueError(text)
        # Zeros in front are not printed: what is odd lacks one.
        number = bytes.fromhex("0" * (len(digits) % 2) + digits)
        return dp.Psample(_number(members["group"], 32), number)

    def meter(self, text: str) -> dp.DpAction:
        return dp.Meter(_number(text, 32))

    def check_pkt_len(self, text: str) -> dp.DpAction:
        words = _members(text, {"size", "gt", "le"})
        greater, less = self._nested(words["gt"]), self._nested(words["le"])
        return dp.CheckPktLen(_number(words["size"], 16), greater, less)

    def ct(self, text: str) -> dp.DpAction:
        return parse_ct(_split(text))

    def push_eth(self, text: str) -> dp.DpAction:
        words = _members(text, {"src", "dst"})
        src, dst = parse_mac(words["src"]), parse_mac(words["dst"])
        if src is None or dst is None:
            raise ValueError(text)
        return dp.PushEth(dst, src)

    def _port(self, text: str) -> int:
        number = self._port_numbers.get(text)
        return _number(text, 32) if number is None else number

    def push_nsh(self, text: str) -> dp.DpAction:
        words = _members(text, _NSH_WORDS)
        md_type = _number(words.get("mdtype", "1"), 4)
        context = b"".join(
            _number(words.get(f"c{n}", "0"), 32).to_bytes(4, "big") for n in (1, 2, 3, 4)
        )
        if md_type == NSH_MD_TYPE2:
            context = bytes.fromhex(words.get("md2", "0x")[2:])
        path = _number(words.get("spi", "0"), 24) << 8 | _number(words.get("si", "255"), 8)
        flags, ttl = _number(words.get("flags", "0"), 2), _number(words.get("ttl", "63"), 6)
        protocol = _number(words.get("np", "3"), 8)
        return dp.PushNsh(flags, ttl, md_type, protocol, path, context)

    def pop_nsh(self, text: str) -> dp.DpAction:
        if text:
            raise ValueError(text)
        return dp.PopNsh()

    def add_mpls(self, text: str) -> dp.DpAction:
        push = self.push_mpls(text)
        return dp.AddMpls(push.ethertype, push.lse)

    def tnl_pop(self, text: str) -> dp.DpAction:
        return dp.TunnelPop(self._port(text))

    def tnl_push(self, text: str) -> dp.DpAction:
        words = _members(text, {"tnl_port", "header", "out_port"})
        parts = {}
        for word in _split(words["header"]):
            at = min(at for at in (word.find("="), word.find("(")) if at >= 0)
            parts[word[:at]] = word[at + 1 :].removesuffix(")")
        header = parse_header(parts, lambda inside: _members(inside, None))
        if len(header) != _number(parts["size"], 16):
            raise ValueError(text)
        tunnel_port, out_port = self._port(words["tnl_port"]), self._port(words["out_port"])
        return dp.TunnelPush(tunnel_port, out_port, _number(parts["type"], 32), header)

    def userspace(self, text: str) -> dp.DpAction:
        pid, *rest = _split(text)
        if not pid.startswith("pid=") or not rest:
            raise ValueError(text)
        _number(pid[4:], 32)
        word, _, inside = rest[0].partition("(")
        if not inside.endswith(")"):
            raise ValueError(text)
        for kind, (name, _) in USERSPACE.items():
            if name == word:
                return self._with_more(_parse_userspace(kind, inside[:-1]), rest[1:])
        raise ValueError(text)

    def _with_more(self, action: dp.Userspace, words: list[str]) -> dp.Userspace:
        for word in words:
            if word == "actions":
                action = replace(action, with_actions=True)
            elif word.startswith("tunnel_out_port="):
                port = self._port(word.removeprefix("tunnel_out_port="))
                action = replace(action, tunnel_out_port=port)
            else:
                raise ValueError(word)
        return action


def _parse_userspace(kind: str, text: str) -> dp.Userspace:
    cookie: list[object] = []
    words = [word.partition("=") for word in _split(text)]
    for (name, form), (word, _, value) in zip(USERSPACE[kind][1], words, strict=False):
        if form == "w":
            cookie.append("" if word == "0" else word)
        elif word != name:
            raise ValueError(text)
        else:
            cookie.append(_number(value, 64))
    if len(words) > len(cookie):
        raise ValueError(text)
    if kind == "slow_path" and not cookie:
        cookie.append("")
    max_len = cookie[6] if kind == "controller" and len(cookie) > 6 else 0
    return dp.Userspace(kind, tuple(cookie), max_len)  # type: ignore[arg-type]


_BARE: dict[str, Callable[[], dp.DpAction]] = {
    "ct": dp.Ct,
    "pop_eth": dp.PopEth,
    "pop_vlan": dp.PopVlan,
    "ct_clear": dp.CtClear,
}

_PARSERS: dict[str, Callable[[_Reader, str], dp.DpAction]] = {
    "set": _Reader.set,
    "push_vlan": _Reader.push_vlan,
    "push_mpls": _Reader.push_mpls,
    "pop_mpls": _Reader.pop_mpls,
    "recirc": _Reader.recirc,
    "hash": _Reader.hash,
    "lb_output": _Reader.lb_output,
    "trunc": _Reader.trunc,
    "clone": _Reader.clone,
    "sample": _Reader.sample,
    "psample": _Reader.psample,
    "meter": _Reader.meter,
    "check_pkt_len": _Reader.check_pkt_len,
    "ct": _Reader.ct,
    "push_eth": _Reader.push_eth,
    "push_nsh": _Reader.push_nsh,
    "pop_nsh": _Reader.pop_nsh,
    "add_mpls": _Reader.add_mpls,
    "tnl_pop": _Reader.tnl_pop,
    "tnl_push": _Reader.tnl_push,
    "userspace": _Reader.userspace,
}


def _number(text: str, bits: int) -> int:
    """A decimal or 0x hexadecimal number of at most `bits` bits."""
    if not text[:1].isdigit():
        raise ValueError(text)
    value = int(text, 16 if text[:2] in ("0x", "0X") else 10)
    if value >> bits:
        raise ValueError(text)
    return value


def _split(text: str) -> list[str]:
    """The words of `text`, which stand between separators outside of parentheses."""
    words = []
    level = start = 0
    for at, char in enumerate(text):
        if char == "(":
            level += 1
        elif char == ")":
            level -= 1
        elif not level and char in _SEPARATORS:
            words.append(text[start:at])
            start = at + 1
    words.append(text[start:])
    if level:
        raise ConfigError(f"syntax error at {text}")
    return [word for word in words if word]


def _members(text: str, names: set[str] | None) -> dict[str, str]:
    """`a=1,b(2)` as a dict; only `names` may occur (None: any)."""
    found = {}
    for word in _split(text):
        name, equals, value = word.partition("=")
        if "(" in name or not equals:
            name, _, value = word.partition("(")
            value = value.removesuffix(")")
        if names is not None and name not in names:
            raise ValueError(word)
        found[name] = value
    return found
