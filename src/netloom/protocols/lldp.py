"""The Link Layer Discovery Protocol (IEEE 802.1AB) at one port, with the TLVs of Auto-Attach.

A port with LLDP says every five seconds who it is, and remembers what its neighbours say until
their time to live is over. Auto-Attach (draft-unbehagen-lldp-spb) adds two TLVs of the organisation
00-04-0D: the *element* (what kind of device this is) and the *assignments* (which service of a
shortest path network, its I-SID, each VLAN is to be attached to). A neighbour that is a server
answers with assignments that carry a status.

Nothing here sends or looks at a clock: `receive` takes what follows Ethernet's header, `packet` is
what is to be sent, if anything is due. All times are ms. What is malformed is counted and left.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from netloom.base.log import get_logger
from netloom.base.record import Record

log = get_logger("lldp")

ETH_TYPE = 0x88CC
GROUP = 0x0180_C200_000E
INTERVAL_MS = 5_000
TTL_S = 120
#: Neighbours that are remembered at one port.
MAX_NEIGHBOURS = 16
_END, _CHASSIS, _PORT, _TTL = range(4)
_SYSTEM_NAME, _SYSTEM_DESCRIPTION, _CAPABILITIES, _MANAGEMENT = 5, 6, 7, 8
_ORGANISATION = 127
_BY_MAC, _BY_INTERFACE_NAME = 4, 5
#: Organisations: Auto-Attach's, and those whose TLVs are known to be of no use here.
_AVAYA = b"\x00\x04\x0d"
_OTHERS = frozenset({b"\x00\x80\xc2", b"\x00\x12\x0f", b"\x00\x12\xbb"})
_ELEMENT, _ASSIGNMENTS = 11, 12
#: Both have a digest in front, which nobody signs.
_DIGEST = bytes(32)
#: Kind of element (a virtual switch that is a client), its state, its management VLAN.
_CLIENT_ELEMENT = b"\x38\x00\x00\x00"
_ELEMENT_BYTES = len(_DIGEST) + 14
#: Bytes that a TLV has at least, and what the log calls it; those of Auto-Attach by their subtype.
_SIZES = {
    _CHASSIS: (2, "Port/Chassis Id"), _PORT: (2, "Port/Chassis Id"), _TTL: (2, "TTL"),
    _CAPABILITIES: (4, "System capabilities"), _MANAGEMENT: (1, "Management address"),
    _ORGANISATION: (4, "Organisational"),
}  # fmt: skip
_AUTO_ATTACH_SIZES = {
    _ELEMENT: (4 + _ELEMENT_BYTES, "ELEMENT"),
    _ASSIGNMENTS: (4 + len(_DIGEST), "ISID_VLAN_ASGNS"),
}
#: What every packet begins with, in this order.
_BEGINNING = {
    _CHASSIS: (1, "Chassis ID TLV should be first"), _PORT: (2, "Port ID TLV should be second"),
    _TTL: (3, "TTL TLV should be third"),
}  # fmt: skip
#: Longer identifiers of devices and ports are refused, and subtypes of them that are not known.
_MAX_ID_BYTES = 256
_ID_SUBTYPES = range(1, 8)
#: Bytes of an address of management with its family, and what follows it.
_ADDRESS_BYTES = range(1, 33)
_BEHIND_ADDRESS = 5
_BRIDGE_CAPABILITY = b"\x00\x04\x00\x04"
_ASSIGNMENT = Struct("!HBH")
#: What a server may say of an assignment.
STATUSES = {
    2: "Active", 3: "Reject (Generic)", 4: "Reject (AA resources unavailable)",
    6: "Reject (Invalid)", 8: "Reject (VLAN resources unavailable)",
}  # fmt: skip
PENDING, UNDEFINED = "Pending", "Undefined"
COUNTERS = ("tx", "rx", "rx discarded", "rx unrecognized", "ageout", "insert", "delete", "drop")


class LldpSettings(Record):
    """What a port says of the switch; `mappings` are (I-SID, VLAN)."""

    system_name: str = ""
    system_description: str = ""
    mappings: tuple[tuple[int, int], ...] = ()


class Neighbour(NamedTuple):
    """Who was heard. `system_id` is Auto-Attach's, empty if it does not speak that."""

    chassis: bytes
    description: str
    system_id: bytes
    until_ms: int


class _Heard(NamedTuple):
    """What one packet says."""

    name: bytes
    ttl_s: int
    neighbour: Neighbour
    assignments: tuple[tuple[int, int, int], ...]


class Lldp:
    """LLDP at the port `name`."""

    def __init__(self, name: str, settings: LldpSettings, now_ms: int) -> None:
        self.name = name
        self.settings = settings
        self.counts = dict.fromkeys(COUNTERS, 0)
        self._next_ms = now_ms + INTERVAL_MS
        self._neighbours: dict[bytes, Neighbour] = {}
        #: By I-SID and VLAN, oldest first, what the server says of it.
        self._assignments = dict.fromkeys(settings.mappings, PENDING)

    def configure(self, settings: LldpSettings, now_ms: int) -> None:
        """Say this from now on."""
        if settings == self.settings:
            return
        self.settings = settings
        self._next_ms = now_ms + INTERVAL_MS
        wanted = set(settings.mappings)
        kept = {pair: text for pair, text in self._assignments.items() if pair in wanted}
        added = {pair: PENDING for pair in settings.mappings if pair not in kept}
        self._assignments = kept | added

    def deadline(self) -> int:
        """When `run` or `packet` has something to do."""
        ends = (neighbour.until_ms for neighbour in self._neighbours.values())
        return min(self._next_ms, *ends) if self._neighbours else self._next_ms

    def run(self, now_ms: int) -> None:
        """Forget who has not been heard for long."""
        for name in [n for n, found in self._neighbours.items() if found.until_ms <= now_ms]:
            del self._neighbours[name]
            self.counts["ageout"] += 1

    def packet(self, mac: bytes, now_ms: int) -> bytes | None:
        """What is to be said now, if anything is; `mac` is the port's address."""
        if now_ms < self._next_ms:
            return None
        self._next_ms = now_ms + INTERVAL_MS
        self.counts["tx"] += 1
        return self._encode(mac)

    def receive(self, payload: bytes, now_ms: int) -> None:
        """A packet of LLDP has come."""
        self.counts["rx"] += 1
        heard = self._decode(payload, now_ms)
        if heard is None:
            self.counts["rx discarded"] += 1
            return
        if heard.ttl_s == 0:
            if self._neighbours.pop(heard.name, None) is not None:
                self.counts["delete"] += 1
            return
        if heard.name not in self._neighbours:
            if len(self._neighbours) >= MAX_NEIGHBOURS:
                self.counts["drop"] += 1
                return
            self.counts["insert"] += 1
        self._neighbours[heard.name] = heard.neighbour
        for isid, vlan, status in heard.assignments:
            if (isid, vlan) in self._assignments:
                self._assignments[isid, vlan] = STATUSES.get(status, UNDEFINED)

    # What people are shown

    def show(self) -> str:
        """The servers that were heard."""
        lines = [f"LLDP: {self.name}"]
        for neighbour in self._neighbours.values():
            if neighbour.system_id:
                prefix = "  Auto Attach Primary Server"
                lines += [
                    f"{prefix} Id: {neighbour.chassis.hex(':')}",
                    f"{prefix} Descr: {neighbour.description or '<None>'}",
                    f"{prefix} System Id: {neighbour.system_id.hex(':')}",
                ]
        return _joined(lines)

    def show_statistics(self) -> str:
        """What was sent and heard."""
        counts = [f"  {name} cnt: {count}" for name, count in self.counts.items()]
        return _joined([f"Statistics: {self.name}", *counts])

    def show_assignments(self) -> str:
        """What became of the mappings."""
        rows = [
            f"{isid:<8} {vlan:<4} {'Switch':<11} {status:<11}"
            for (isid, vlan), status in self._assignments.items()
        ]
        head = ["I-SID    VLAN Source      Status  ", "-------- ---- ----------- --------"]
        return _joined([f"LLDP: {self.name}", *head, *rows])

    # Bytes

    def _encode(self, mac: bytes) -> bytes:
        settings = self.settings
        tlvs = [
            (_CHASSIS, bytes([_BY_MAC]) + mac),
            (_PORT, bytes([_BY_INTERFACE_NAME]) + self.name.encode()),
            (_TTL, TTL_S.to_bytes(2, "big")),
        ]
        for kind, text in (
            (_SYSTEM_NAME, settings.system_name),
            (_SYSTEM_DESCRIPTION, settings.system_description),
        ):
            if text:
                tlvs.append((kind, text.encode()[:255]))
        element = _DIGEST + _CLIENT_ELEMENT + mac + bytes(4)
        tlvs.append((_CAPABILITIES, _BRIDGE_CAPABILITY))
        tlvs.append((_ORGANISATION, _AVAYA + bytes([_ELEMENT]) + element))
        pairs = list(self._assignments)[: (511 - 4 - len(_DIGEST)) // _ASSIGNMENT.size]
        if pairs:
            content = b"".join(
                _ASSIGNMENT.pack(vlan, isid >> 16, isid & 0xFFFF) for isid, vlan in pairs
            )
            tlvs.append((_ORGANISATION, _AVAYA + bytes([_ASSIGNMENTS]) + _DIGEST + content))
        return b"".join(_tlv(kind, content) for kind, content in [*tlvs, (_END, b"")])

    def _decode(self, payload: bytes, now_ms: int) -> _Heard | None:
        """What a packet says; None if it is malformed."""
        found: dict[int, bytes] = {}
        system_id = b""
        assignments: tuple[tuple[int, int, int], ...] = ()
        for place, (kind, content) in enumerate(_read_tlvs(payload), 1):
            fault = _fault(place, kind, content, self.name)
            if fault:
                log.warn_rl("%s", fault)
                return None
            found.setdefault(kind, content)
            if kind == _END:
                break
            if kind == _ORGANISATION:
                subtype = content[3] if len(content) > 3 else -1
                if content[:3] == _AVAYA and subtype == _ELEMENT:
                    system_id = _system_id(content[4:])
                elif content[:3] == _AVAYA and subtype == _ASSIGNMENTS:
                    assignments = _read_assignments(content[4:])
                else:
                    self._note_unknown(content[:3])
            elif kind > _MANAGEMENT:
                log.warn_rl("unknown tlv (%d) received on %s", kind, self.name)
                self.counts["rx unrecognized"] += 1
        chassis, port, ttl = (found.get(kind, b"") for kind in (_CHASSIS, _PORT, _TTL))
        if _END not in found or len(chassis) < 2 or len(port) < 2 or len(ttl) < 2:
            log.warn_rl("some mandatory tlv are missing for frame received on %s", self.name)
            return None
        ttl_s = int.from_bytes(ttl[:2], "big")
        text = found.get(_SYSTEM_DESCRIPTION, b"").decode(errors="replace")
        neighbour = Neighbour(chassis[1:], text, system_id, now_ms + 1_000 * ttl_s)
        name = bytes([len(chassis)]) + chassis + port
        return _Heard(name, ttl_s, neighbour, assignments)

    def _note_unknown(self, organisation: bytes) -> None:
        self.counts["rx unrecognized"] += 1
        if organisation not in _OTHERS:
            where = organisation.hex(":")
            log.info_rl("unknown org tlv [%s] received on %s", where, self.name)


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _tlv(kind: int, content: bytes) -> bytes:
    return (kind << 9 | len(content)).to_bytes(2, "big") + content


def _read_tlvs(payload: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, contents) of each; type -1 for one that is cut off."""
    at = 0
    while at + 2 <= len(payload):
        head = int.from_bytes(payload[at : at + 2], "big")
        length = head & 0x1FF
        if at + 2 + length > len(payload):
            yield -1, b""
            return
        yield head >> 9, payload[at + 2 : at + 2 + length]
        at += 2 + length


def _fault(place: int, kind: int, content: bytes, port: str) -> str:
    """What is wrong with the TLV in a `place` (from 1) of a packet that came to `port`; ""."""
    if kind < 0:
        return f"frame too short for tlv received on {port}"
    due = _BEGINNING.get(kind)
    if due is not None and due[0] != place:
        return f"{due[1]} on {port}, but it is on position {place}"
    if kind == _END and content:
        return f"lldp end received with size not null on {port}"
    least = _SIZES.get(kind)
    if kind == _ORGANISATION and len(content) > 3 and content[:3] == _AVAYA:
        least = _AUTO_ATTACH_SIZES.get(content[3])
    if least is not None and len(content) < least[0]:
        return f"{least[1]} TLV too short received on {port}"
    if kind in (_CHASSIS, _PORT):
        return _fault_of_identifier(content, port)
    return _fault_of_address(content, port) if kind == _MANAGEMENT else ""


def _fault_of_identifier(content: bytes, port: str) -> str:
    if len(content) > _MAX_ID_BYTES:
        return f"Port/Chassis Id TLV too large received on {port}"
    is_known = content[0] in _ID_SUBTYPES
    return "" if is_known else f"unknown subtype for tlv id received on {port}"


def _fault_of_address(content: bytes, port: str) -> str:
    if content[0] not in _ADDRESS_BYTES:
        return f"invalid management address length on {port}"
    is_whole = len(content) >= 1 + content[0] + _BEHIND_ADDRESS
    return "" if is_whole else f"Management address TLV too short received on {port}"


def _system_id(content: bytes) -> bytes:
    """An element's address and numbers, in the form in which Open vSwitch shows them: the number of
    a split link (12 bits) with its low byte first, and nothing of the kind of connection."""
    content = content[len(_DIGEST) + 4 :]
    link = int.from_bytes(content[6:8], "big") & 0x0FFF
    return content[:6] + bytes(2) + link.to_bytes(2, "little") + content[8:10]


def _read_assignments(content: bytes) -> tuple[tuple[int, int, int], ...]:
    """(I-SID, VLAN, status) of each."""
    found = []
    for at in range(len(_DIGEST), len(content) - _ASSIGNMENT.size + 1, _ASSIGNMENT.size):
        word, high, low = _ASSIGNMENT.unpack_from(content, at)
        found.append((high << 16 | low, word & 0x0FFF, word >> 12))
    return tuple(found)
