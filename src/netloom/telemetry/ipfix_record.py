"""An IPFIX record from a packet: the part that says which flow it is of."""

from __future__ import annotations

from struct import Struct, pack
from typing import Final

from netloom.base.record import Record
from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.packet.headers import ETH_TYPE_IP
from netloom.telemetry import ipfix_templates as t

INGRESS, EGRESS = 0, 1

_ETH_TYPE_IPV6: Final = 0x86DD
_TRANSPORTS: Final = {6: t.TCP, 17: t.UDP, 132: t.SCTP}
_ICMPS: Final = {t.IPV4: 1, t.IPV6: 58}
_ETH_LEN, _VLAN_LEN = 14, 4
_COMMON: Final = Struct(">IB6s6sHB")
_TUNNEL: Final = Struct(">IIBHHB")

_DL_SRC, _DL_DST, _DL_TYPE = SLOT["dl_src"], SLOT["dl_dst"], SLOT["dl_type"]
_VLAN_TCI: Final = SLOT["vlan_tci"]
_NW_TTL, _NW_PROTO, _NW_TOS = SLOT["nw_ttl"], SLOT["nw_proto"], SLOT["nw_tos"]
_NW_SRC, _NW_DST = SLOT["nw_src"], SLOT["nw_dst"]
_IPV6_SRC, _IPV6_DST, _IPV6_LABEL = SLOT["ipv6_src"], SLOT["ipv6_dst"], SLOT["ipv6_label"]
_TP_SRC, _TP_DST = SLOT["tp_src"], SLOT["tp_dst"]


class Interface(Record):
    """A port as collectors know it; `index` is its ifIndex, 0 for none."""

    index: int = 0
    name: str = ""

    def encode(self) -> bytes:
        """Number, type and description (which nobody knows here) and name."""
        return pack(">II", self.index, 0) + variable(self.name.encode()) + variable(b"")


class Tunnel(Record):
    """The outer header of a packet, by IPv4. `type` is as VMware numbers tunnels; `key` is of as
    many bytes as this type has."""

    src: int
    dst: int
    protocol: int
    tp_src: int
    tp_dst: int
    type: int
    key: bytes

    def encode(self) -> bytes:
        """In the order of the template."""
        head = _TUNNEL.pack(
            self.src, self.dst, self.protocol, self.tp_src, self.tp_dst, self.type
        )  # fmt: skip
        return head + variable(self.key)


class Observation(Record):
    """A packet that was seen. `key` is what it looks like, `length` its bytes; `n_packets` is how
    many it stands for, `is_dropped` whether it went nowhere. `egress` None: not told."""

    domain_id: int
    point_id: int
    direction: int
    key: int
    length: int
    n_packets: int
    is_dropped: bool
    ingress: Interface
    egress: Interface | None = None
    tunnel: Tunnel | None = None


def variable(data: bytes) -> bytes:
    """An element of variable length (RFC 7011, section 7)."""
    data = data[:0xFFFF]
    short = len(data) < 0xFF
    return (bytes((len(data),)) if short else pack(">BH", 0xFF, len(data))) + data


def kind_of(observation: Observation) -> t.Kind:
    """Which template a packet's record has."""
    key = observation.key
    network = {ETH_TYPE_IP: t.IPV4, _ETH_TYPE_IPV6: t.IPV6}.get(_DL_TYPE.get(key), t.OTHER)
    transport = t.UNKNOWN
    if network:
        protocol = _NW_PROTO.get(key)
        is_icmp = protocol == _ICMPS[network]
        transport = t.ICMP if is_icmp else _TRANSPORTS.get(protocol, t.UNKNOWN)
    return t.Kind(
        t.VLAN if _VLAN_TCI.get(key) & VLAN_CFI else t.ETHERNET, network, transport,
        observation.tunnel is not None, observation.egress is not None,
    )  # fmt: skip


def header_length(key: int) -> int:
    """Bytes of the Ethernet header, with its tag if it has one."""
    return _ETH_LEN + (_VLAN_LEN if _VLAN_TCI.get(key) & VLAN_CFI else 0)


def encode_flow(observation: Observation, kind: t.Kind) -> bytes:
    """The part of a record that says which flow it is of."""
    key = observation.key
    parts = [
        _COMMON.pack(
            observation.point_id, observation.direction, _DL_SRC.get(key).to_bytes(6, "big"),
            _DL_DST.get(key).to_bytes(6, "big"), _DL_TYPE.get(key), header_length(key),
        ),
        observation.ingress.encode(),
    ]  # fmt: skip
    if observation.egress is not None:
        parts.append(observation.egress.encode())
    if kind.link == t.VLAN:
        tci = _VLAN_TCI.get(key)
        parts.append(pack(">HHB", tci & 0xFFF, tci & 0xFFF, tci >> 13 & 7))
    if kind.network:
        parts.append(_encode_network(key, kind))
    if kind.transport == t.ICMP:
        parts.append(bytes((_TP_SRC.get(key) & 0xFF, _TP_DST.get(key) & 0xFF)))
    elif kind.transport:
        parts.append(pack(">HH", _TP_SRC.get(key), _TP_DST.get(key)))
    if observation.tunnel is not None:
        parts.append(observation.tunnel.encode())
    return b"".join(parts)


def _encode_network(key: int, kind: t.Kind) -> bytes:
    tos = _NW_TOS.get(key)
    version = 4 if kind.network == t.IPV4 else 6
    head = bytes((version, _NW_TTL.get(key), _NW_PROTO.get(key), tos >> 2, tos >> 5, tos))
    if kind.network == t.IPV4:
        return head + pack(">II", _NW_SRC.get(key), _NW_DST.get(key))
    addresses = _IPV6_SRC.get(key).to_bytes(16, "big") + _IPV6_DST.get(key).to_bytes(16, "big")
    return head + addresses + pack(">I", _IPV6_LABEL.get(key))
