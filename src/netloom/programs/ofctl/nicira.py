"""Commands of Nicira's extensions: tunnel options, connection tracking, IPFIX."""

from __future__ import annotations

from netloom.flow.address import parse_ipv6, parse_plain_ipv4
from netloom.flow.words import split_words
from netloom.openflow import messages_nx as n
from netloom.openflow import protocol as p
from netloom.openflow.number_text import c_int, to_u16
from netloom.programs.ofctl.dumps import open_switch, print_replies
from netloom.programs.ofctl.options import Fatal
from netloom.programs.ofctl.switch import open_for_flows

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.ofctl import Context

_USABLE = p.P_NXM_ANY | p.P_OXM_ANY


# Tunnel options


def _number(text: str, end: str, bits: int) -> tuple[int, str]:
    """The number at the start of `text`, cut to so many bits, and what follows `end`."""
    digits, found, rest = text.partition(end)
    number = c_int(digits)
    if not found or number is None:
        raise Fatal("invalid tlv mapping")
    return number & (1 << bits) - 1, rest


def _after(text: str, start: str) -> str:
    if not text.startswith(start):
        raise Fatal("invalid tlv mapping")
    return text[len(start) :]


def parse_tlv_maps(text: str) -> tuple[n.TlvMap, ...]:
    """`{class=0xffff,type=0,len=4}->tun_metadata0[,...]`."""
    maps = []
    while text:
        text = _after(text.removeprefix(","), "{class=")
        option_class, text = _number(text, ",", 16)
        option_type, text = _number(_after(text, "type="), ",", 8)
        option_len, text = _number(_after(text, "len="), "}", 8)
        text = _after(text, "->tun_metadata")
        end = next((at for at, char in enumerate(text) if not char.isdigit()), len(text))
        index, _ = _number(text[:end] + ";", ";", 16)
        text = text[end:]
        maps.append(n.TlvMap(option_class, option_type, option_len, index))
    return tuple(maps)


def _change_maps(context: Context, command: int, text: str) -> None:
    maps = parse_tlv_maps(text)
    switch = open_for_flows(context.switch, context.args, context.xids, _USABLE)
    switch.must_change(switch.encode(n.TlvTableMod(command, maps)))
    switch.close()


def add_tlv_map(context: Context) -> None:
    """The command `add-tlv-map SWITCH MAP[,MAP...]`."""
    _change_maps(context, n.NXTTMC_ADD, context.operands[1])


def del_tlv_map(context: Context) -> None:
    """The command `del-tlv-map SWITCH [MAP[,MAP...]]`: all without one."""
    command = n.NXTTMC_DELETE if len(context.operands) > 1 else n.NXTTMC_CLEAR
    _change_maps(context, command, context.operand(1))


def dump_tlv_map(context: Context) -> None:
    """The command `dump-tlv-map`."""
    print_replies(context, open_switch(context), n.TlvTableRequest())


# Connection tracking


def ct_flush_zone(context: Context) -> None:
    """The command `ct-flush-zone SWITCH ZONE`."""
    zone = to_u16(context.operands[1], "zone_id")
    switch = open_switch(context)
    switch.must_change(switch.encode(n.CtFlushZone(zone)))
    switch.close()


_ICMP = (1, 58)
#: Fields of a tuple that are numbers: member, bits, whether only ICMP has it.
_NUMBERS = {
    "ct_tp_src": ("src_port", 16, False), "ct_tp_dst": ("dst_port", 16, False),
    "icmp_id": ("icmp_id", 16, True), "icmp_type": ("icmp_type", 8, True),
    "icmp_code": ("icmp_code", 8, True),
}  # fmt: skip


class _Tuples:
    """Reads the tuples of one connection: both have the same protocols."""

    def __init__(self) -> None:
        self.ip_proto = 0
        self._family = 0

    def read(self, text: str) -> n.CtTuple:
        """One direction; Fatal with what is wrong with it."""
        found: dict[str, int] = {}
        for key, value in split_words(text):
            if not value:
                raise _bad(f"field {key} missing value")
            if key in ("ct_nw_src", "ct_nw_dst", "ct_ipv6_src", "ct_ipv6_dst"):
                self._read_address(found, key, value)
            elif key == "ct_nw_proto":
                self.ip_proto = _bounded(key, value, 8)
            elif key in _NUMBERS:
                member, bits, of_icmp = _NUMBERS[key]
                if of_icmp and self.ip_proto not in _ICMP:
                    raise _bad("invalid L4 fields")
                if member == "src_port" and self.ip_proto in _ICMP:
                    member = "icmp_id"
                found[member] = _bounded(key, value, bits)
            else:
                raise _bad(f"invalid conntrack tuple field: {key}")
        if not self.ip_proto and ("src_port" in found or "dst_port" in found):
            raise _bad("port is set without protocol")
        return n.CtTuple(**found)

    def _read_address(self, found: dict[str, int], key: str, value: str) -> None:
        member = key[-3:]
        family = 4 if "nw" in key else 6
        if self._family not in (0, family):
            raise _bad(f"the L3 protocol does not match {value}")
        if member in found:
            raise _bad(f"{key} is set multiple times")
        address = parse_plain_ipv4(value) if family == 4 else parse_ipv6(value)
        if address is None:
            raise _bad(f"failed to parse field {key}")
        address |= 0xFFFF << 32 if family == 4 else 0
        self._family = family
        found[member] = address


def _bad(text: str) -> Fatal:
    return Fatal(f"Failed to parse CT match: {text}")


def _bounded(key: str, text: str, bits: int) -> int:
    number = c_int(text)
    if number is None or number < 0 or number >> bits:
        raise _bad(f"failed to parse field {key}")
    return number


def _zone(text: str) -> int:
    number = text.removeprefix("zone=").lstrip()
    sign = number[:1] if number[:1] in ("-", "+") else ""
    digits = number[len(sign) :]
    end = next((at for at, char in enumerate(digits) if not char.isdigit()), len(digits))
    if not end:
        raise _bad("failed to parse zone")
    return int(sign + digits[:end]) & 0xFFFF


def _masked(text: str, bits: int) -> tuple[int, int]:
    """`NAME=VALUE[/MASK]` as (value, mask)."""
    name, _, value_text = text.partition("=")
    number_text, slash, mask_text = value_text.partition("/")
    number, mask = c_int(number_text), c_int(mask_text) if slash else (1 << bits) - 1
    if number is None or mask is None or number >> bits or mask >> bits:
        raise _bad(f"failed to parse {name}")
    return number, mask


def ct_flush(context: Context) -> None:
    """The command `ct-flush SWITCH [zone=N] [mark=X[/M]] [labels=X[/M]] [ORIGINAL [REPLY]]`."""
    words = context.operands[1:]
    zone = None
    mark = labels = (0, 0)
    if words and words[0].startswith("zone="):
        zone = _zone(words.pop(0))
    while words and words[0].startswith(("mark=", "labels=")):
        word = words.pop(0)
        if word.startswith("mark="):
            mark = _masked(word, 32)
        else:
            labels = _masked(word, 128)
    tuples = _Tuples()
    original = tuples.read(words.pop(0)) if words else n.NO_TUPLE
    reply = tuples.read(words.pop(0)) if words else n.NO_TUPLE
    if words:
        raise _bad("invalid arguments")
    switch = open_switch(context)
    flush = n.CtFlush(tuples.ip_proto, original, reply, zone, mark, labels)
    switch.must_change(switch.encode(flush))
    switch.close()


# IPFIX


def dump_ipfix_bridge(context: Context) -> None:
    """The command `dump-ipfix-bridge`."""
    print_replies(context, open_switch(context), n.IpfixStatsRequest(False))


def dump_ipfix_flow(context: Context) -> None:
    """The command `dump-ipfix-flow`."""
    print_replies(context, open_switch(context), n.IpfixStatsRequest(True))
