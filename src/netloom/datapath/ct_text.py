"""The text of the data path's `ct` action, both ways: `ct(commit,zone=5,nat(src=1.1.1.1:1-9))`."""

from __future__ import annotations

from netloom.datapath.actions import Ct, Nat
from netloom.flow.address import format_ipv4, format_ipv6, parse_ipv4, parse_ipv6

_ALL_32 = (1 << 32) - 1
_ALL_128 = (1 << 128) - 1
_NAT_FLAGS = ("persistent", "hash", "random")


def format_ct(ct: Ct) -> str:
    """The members in the order in which Open vSwitch prints them; none at all is `ct`."""
    words = []
    if ct.commit:
        words.append("force_commit" if ct.force else "commit")
    if ct.zone:
        words.append(f"zone={ct.zone}")
    if ct.mark_mask:
        words.append(f"mark={_hex(ct.mark)}/{ct.mark_mask:#x}")
    if ct.label_mask:
        mask = "" if ct.label_mask == _ALL_128 else f"/{ct.label_mask:#x}"
        words.append(f"label={_hex(ct.label)}{mask}")
    if ct.helper:
        words.append(f"helper={ct.helper}")
    if ct.timeout:
        words.append(f"timeout={ct.timeout}")
    if ct.nat is not None:
        words.append(_format_nat(ct.nat))
    return f"ct({','.join(words)})" if words else "ct"


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


def _format_nat(nat: Nat) -> str:
    if not nat.kind:
        return "nat"
    if nat.min_addr is None:
        return f"nat({nat.kind})"
    form = format_ipv6 if nat.is_ipv6 else format_ipv4
    is_range = nat.max_addr is not None and nat.max_addr != nat.min_addr
    bracket = nat.is_ipv6 and nat.min_port
    left, right = ("[", "]") if bracket else ("", "")
    text = f"{left}{form(nat.min_addr)}{right}"
    if is_range and nat.max_addr is not None:
        text += f"-{left}{form(nat.max_addr)}{right}"
    if nat.min_port:
        text += f":{nat.min_port}"
        if nat.max_port and nat.max_port != nat.min_port:
            text += f"-{nat.max_port}"
    words = [f"{nat.kind}={text}", *(flag for flag in _NAT_FLAGS if getattr(nat, flag))]
    return f"nat({','.join(words)})"


def parse_ct(words: list[str]) -> Ct:
    """The action that the members of `ct(...)` say. Raises ValueError."""
    found: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if word in ("commit", "force_commit"):
            found["commit"] = True
            found["force"] = bool(found.get("force")) or word == "force_commit"
        elif word == "nat":
            found["nat"] = Nat()
        elif word.startswith("nat(") and word.endswith(")"):
            found["nat"] = _parse_nat(word[4:-1])
        elif not equals or not value:
            raise ValueError(word)
        elif name == "zone":
            found["zone"] = _number(value) & 0xFFFF
        elif name in ("mark", "label"):
            all_bits = _ALL_32 if name == "mark" else _ALL_128
            number, _, mask = value.partition("/")
            found[name] = _number(number) & all_bits
            found[f"{name}_mask"] = _number(mask) & all_bits if mask else all_bits
        elif name in ("helper", "timeout"):
            found[name] = value
        else:
            raise ValueError(word)
    return Ct(**found)  # type: ignore[arg-type]


def _number(text: str) -> int:
    if not text[:1].isdigit():
        raise ValueError(text)
    return int(text, 16 if text[:2].lower() == "0x" else 10)


def _parse_nat(text: str) -> Nat:
    found: dict[str, object] = {}
    for word in text.split(","):
        name, _, value = word.strip().partition("=")
        if name in ("src", "dst"):
            if "kind" in found:
                raise ValueError(text)
            found["kind"] = name
            if value:
                _parse_range(value, found)
        elif name in _NAT_FLAGS and not value:
            found[name] = True
        elif name or value:
            raise ValueError(word)
    if "hash" in found and "random" in found:
        raise ValueError(text)
    if "kind" not in found:
        return Nat()
    return Nat(**found)  # type: ignore[arg-type]


def _parse_range(text: str, found: dict[str, object]) -> None:
    """`A`, `A-B`, `A:P`, `A-B:P-Q`; an IPv6 address with more behind it stands in brackets."""
    is_ipv6 = text.startswith("[") or text.count(":") > 1
    if is_ipv6 and not text.startswith("["):
        addresses, ports = text, ""
    elif is_ipv6:
        end = text.rindex("]") + 1
        addresses, ports = text[:end].replace("[", "").replace("]", ""), text[end:]
        if ports and not ports.startswith(":"):
            raise ValueError(text)
        ports = ports[1:]
    else:
        addresses, _, ports = text.partition(":")
    parse = parse_ipv6 if is_ipv6 else parse_ipv4
    low, dash, high = addresses.partition("-")
    min_addr = parse(low)
    max_addr = parse(high) if dash else min_addr
    if min_addr is None or max_addr is None or max_addr < min_addr:
        raise ValueError(text)
    found |= {"is_ipv6": is_ipv6, "min_addr": min_addr, "max_addr": max_addr}
    if ports:
        low, dash, high = ports.partition("-")
        min_port = _number(low)
        max_port = _number(high) if dash else min_port
        if not 0 < min_port <= max_port <= 0xFFFF:
            raise ValueError(text)
        found |= {"min_port": min_port, "max_port": max_port}
