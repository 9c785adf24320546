"""The text of `tnl_push`: its header, taken apart by type (ovs-dpctl(8) has the syntax).

    tnl_push(tnl_port(4789),header(size=50,type=4,eth(..),ipv4(..),udp(..),vxlan(..)),out_port(100))

The header is bytes in the action; the reader makes these bytes again.
"""

from __future__ import annotations

from collections.abc import Callable

from netloom.flow.address import format_ipv4, format_ipv6, format_mac, parse_mac
from netloom.flow.mapped import address_bytes, parse_mapped
from netloom.packet.checksum import checksum
from netloom.packet.tunnel import (
    GRE_CSUM,
    GRE_KEY,
    GRE_SEQ,
    build_erspan,
    build_gre,
    build_srv6,
    split_options,
)

GRE_TYPES = frozenset({3, 109})
ERSPAN_TYPES = frozenset({107, 108})
_VXLAN, _GENEVE, _GTPU, _SRV6 = 4, 5, 110, 112


def _hex(value: int) -> str:
    return f"{value:#x}" if value else "0"


def format_header(header: bytes, type_: int) -> str:
    """`eth(...),ipv4(...),udp(...),vxlan(...)` of the bytes of a header."""
    eth_type = int.from_bytes(header[12:14], "big")
    dst, src = int.from_bytes(header[:6], "big"), int.from_bytes(header[6:12], "big")
    words = [f"eth(dst={format_mac(dst)},src={format_mac(src)},dl_type=0x{eth_type:04x})"]
    ip = header[14:]
    if eth_type == 0x0800:
        words.append(_format_ipv4(ip))
        rest = ip[20:]
    else:
        words.append(_format_ipv6(ip))
        rest = ip[40:]
    if type_ in GRE_TYPES:
        words.append(_format_gre(rest))
    elif type_ == _SRV6:
        words.append(_format_srv6(rest))
    elif type_ in ERSPAN_TYPES:
        words.append(_format_erspan(rest[8:]))
    else:
        udp = [int.from_bytes(rest[at : at + 2], "big") for at in (0, 2, 6)]
        words.append(f"udp(src={udp[0]},dst={udp[1]},csum=0x{udp[2]:x})")
        if type_ in _UDP:
            words.append(_UDP[type_](rest[8:]))
    return ",".join(words)


def _format_ipv4(ip: bytes) -> str:
    src, dst = int.from_bytes(ip[12:16], "big"), int.from_bytes(ip[16:20], "big")
    return (
        f"ipv4(src={format_ipv4(src)},dst={format_ipv4(dst)},proto={ip[9]},tos={_hex(ip[1])},"
        f"ttl={ip[8]},frag=0x{int.from_bytes(ip[6:8], 'big'):x})"
    )


def _format_ipv6(ip: bytes) -> str:
    first = int.from_bytes(ip[:4], "big")
    src, dst = int.from_bytes(ip[8:24], "big"), int.from_bytes(ip[24:40], "big")
    return (
        f"ipv6(src={format_ipv6(src)},dst={format_ipv6(dst)},label={first & 0xFFFFF},"
        f"proto={ip[6]},tclass=0x{first >> 20 & 0xFF:x},hlimit={ip[7]})"
    )


def _format_gre(data: bytes) -> str:
    flags = int.from_bytes(data[:2], "big")
    words = [f"(flags=0x{flags:x},proto=0x{int.from_bytes(data[2:4], 'big'):x})"]
    at = 4
    for bit, name, size in ((GRE_CSUM, "csum", 2), (GRE_KEY, "key", 4), (GRE_SEQ, "seq", 4)):
        if flags & bit:
            words.append(f"{name}=0x{int.from_bytes(data[at : at + size], 'big'):x}")
            at += 4
    return f"gre({','.join(words)})"


def _format_erspan(data: bytes) -> str:
    first = int.from_bytes(data[:4], "big")
    if first >> 28 == 1:
        index = int.from_bytes(data[4:8], "big") & 0xFFFFF
        return f"erspan(ver=1,sid=0x{first & 0x3FF:x},idx=0x{index:x})"
    last = int.from_bytes(data[10:12], "big")
    return f"erspan(ver=2,sid=0x{first & 0x3FF:x},dir={last >> 3 & 1},hwid=0x{last >> 4 & 0x3F:x})"


def _format_srv6(data: bytes) -> str:
    """The stations in the order of the way; the header has the last one first."""
    ends = range(8 + 16 * (data[4] + 1), 8, -16)
    segments = (format_ipv6(int.from_bytes(data[end - 16 : end], "big")) for end in ends)
    return f"srv6(segments_left={data[3]},segs({','.join(segments)}))"


def _format_vxlan(data: bytes) -> str:
    flags, vni = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:8], "big") >> 8
    return f"vxlan(flags=0x{flags:x},vni=0x{vni:x})"


def _format_geneve(data: bytes) -> str:
    flags = ("oam," if data[1] & 0x80 else "") + ("crit," if data[1] & 0x40 else "")
    text = f"geneve({flags}vni=0x{int.from_bytes(data[4:7], 'big'):x}"
    options = "".join(
        f"{{class={_hex(klass)},type={_hex(kind)},len={len(value)}{_option_data(value)}}}"
        for klass, kind, value in split_options(data[8:])
    )
    return f"{text},options({options}))" if options else f"{text})"


def _option_data(value: bytes) -> str:
    return f",0x{int.from_bytes(value, 'big'):x}" if value else ""


def _format_gtpu(data: bytes) -> str:
    teid = int.from_bytes(data[4:8], "big")
    return f"gtpu(flags=0x{data[0]:x},msgtype={data[1]},teid=0x{teid:x})"


_UDP: dict[int, Callable[[bytes], str]] = {
    _VXLAN: _format_vxlan,
    _GENEVE: _format_geneve,
    _GTPU: _format_gtpu,
}


# Reading

Words = Callable[[str], dict[str, str]]


def parse_header(parts: dict[str, str], words: Words) -> bytes:
    """The bytes of a header whose attributes are `parts`: name -> text inside the parentheses;
    `words` takes such a text apart. Raises ValueError or KeyError."""
    eth = words(parts["eth"])
    eth_type = int(eth["dl_type"], 0)
    out = _mac(eth["dst"]) + _mac(eth["src"]) + eth_type.to_bytes(2, "big")
    if eth_type == 0x0800:
        out += _parse_ipv4(words(parts["ipv4"]))
    else:
        out += _parse_ipv6(words(parts["ipv6"]))
    if "gre" in parts:
        return out + _parse_gre(parts["gre"], words)
    if "srv6" in parts:
        return out + _parse_srv6(parts["srv6"])
    if "erspan" in parts:
        found = {name: int(text, 0) for name, text in words(parts["erspan"]).items()}
        return out + build_erspan(
            found["ver"], found["sid"], found.get("idx", 0), found.get("dir", 0),
            found.get("hwid", 0),
        )  # fmt: skip
    udp = words(parts["udp"])
    out += int(udp["src"]).to_bytes(2, "big") + int(udp["dst"]).to_bytes(2, "big")
    out += bytes(2) + int(udp["csum"], 0).to_bytes(2, "big")
    if "vxlan" in parts:
        vxlan = words(parts["vxlan"])
        return out + int(vxlan["flags"], 0).to_bytes(4, "big") + _vni(vxlan["vni"])
    if "geneve" in parts:
        return out + _parse_geneve(parts["geneve"], words)
    if "gtpu" in parts:
        gtpu = words(parts["gtpu"])
        head = bytes((int(gtpu["flags"], 0), int(gtpu["msgtype"], 0), 0, 0))
        return out + head + int(gtpu["teid"], 0).to_bytes(4, "big")
    return out


def _parse_srv6(text: str) -> bytes:
    """Nothing is said of what is inside, which whoever sends a packet cannot know either."""
    left, _, inside = text.removeprefix("segments_left=").partition(",segs(")
    segments = [_address(word) for word in inside.removesuffix(")").split(",")]
    if len(segments) != int(left) + 1:
        raise ValueError(text)
    return build_srv6(0, segments)


def _vni(text: str) -> bytes:
    return (int(text, 0) << 8).to_bytes(4, "big")


def _mac(text: str) -> bytes:
    value = parse_mac(text)
    if value is None:
        raise ValueError(text)
    return value.to_bytes(6, "big")


def _address(text: str) -> bytes:
    value = parse_mapped(text)
    if value is None:
        raise ValueError(text)
    return address_bytes(value)


def _parse_ipv4(ip: dict[str, str]) -> bytes:
    head = bytes((0x45, int(ip["tos"], 0), 0, 0, 0, 0)) + int(ip["frag"], 0).to_bytes(2, "big")
    head += bytes((int(ip["ttl"]), int(ip["proto"]), 0, 0))
    head += _address(ip["src"]) + _address(ip["dst"])
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:]


def _parse_ipv6(ip: dict[str, str]) -> bytes:
    first = 6 << 28 | int(ip["tclass"], 0) << 20 | int(ip["label"], 0)
    head = first.to_bytes(4, "big") + bytes((0, 0, int(ip["proto"]), int(ip["hlimit"])))
    return head + _address(ip["src"]) + _address(ip["dst"])


def _parse_gre(text: str, words: Words) -> bytes:
    head, _, rest = text.removeprefix("(").partition(")")
    flags = words(head)
    more = words(rest)
    bits = int(flags["flags"], 0)
    out = build_gre(
        int(flags["proto"], 0),
        csum=bool(bits & GRE_CSUM),
        key=int(more["key"], 0) if bits & GRE_KEY else None,
        seq=bool(bits & GRE_SEQ),
    )
    if bits & GRE_CSUM:
        out = out[:4] + int(more["csum"], 0).to_bytes(2, "big") + out[6:]
    return out[:-4] + int(more["seq"], 0).to_bytes(4, "big") if bits & GRE_SEQ else out


def _parse_geneve(text: str, words: Words) -> bytes:
    flags = 0
    for word, bit in (("oam,", 0x80), ("crit,", 0x40)):
        if text.startswith(word):
            text, flags = text.removeprefix(word), flags | bit
    head, _, inside = text.partition(",options(")
    options = b""
    for option in inside.removesuffix(")").removeprefix("{").removesuffix("}").split("}{"):
        if option:
            fields, _, value = (
                option.partition(",0x") if option.count("0x") > 2 else (option, "", "")
            )
            found = words(fields)
            length = int(found["len"])
            options += int(found["class"], 0).to_bytes(2, "big")
            options += bytes((int(found["type"], 0), length // 4))
            options += int(value if length else "0", 16).to_bytes(length, "big")
    start = bytes((len(options) // 4, flags)) + b"\x65\x58"
    return start + _vni(words(head)["vni"]) + options
