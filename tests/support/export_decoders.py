"""Reads what NetFlow, sFlow and IPFIX exporters send, written from the formats' descriptions and
from nothing that the exporters are made of."""

from __future__ import annotations

import ipaddress
import select
import socket
import time
from collections.abc import Callable
from struct import calcsize, unpack_from
from types import TracebackType
from typing import Any

Fields = dict[str, Any]


class CollectorSocket:
    """A collector at a port of the loopback device, which keeps what it was sent."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind((address, 0))
        self.port: int = self._socket.getsockname()[1]
        host = f"[{address}]" if ":" in address else address
        self.target = f"{host}:{self.port}"
        self.datagrams: list[bytes] = []

    def __enter__(self) -> CollectorSocket:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()

    def receive(self, timeout_s: float = 0) -> list[bytes]:
        """All datagrams so far, with those that come within the time."""
        end = time.monotonic() + timeout_s
        while True:
            left = max(0.0, end - time.monotonic())
            if not select.select([self._socket], [], [], left)[0]:
                return self.datagrams
            self.datagrams.append(self._socket.recv(65_535))

    def wait(self, is_enough: Callable[[list[bytes]], bool], timeout_s: float = 40) -> list[bytes]:
        """All datagrams, as soon as they are enough or the time is over."""
        end = time.monotonic() + timeout_s
        while not is_enough(self.receive(0.02)) and time.monotonic() < end:
            pass
        return self.datagrams


def _ip(number: int) -> str:
    return str(ipaddress.IPv4Address(number))


# NetFlow

_V5_HEADER = (
    ("version", "H"), ("count", "H"), ("uptime", "I"), ("secs", "I"), ("nsecs", "I"),
    ("sequence", "I"), ("engine_type", "B"), ("engine_id", "B"), ("sampling", "H"),
)  # fmt: skip
_V5_RECORD = (
    ("src", "I"), ("dst", "I"), ("nexthop", "I"), ("input", "H"), ("output", "H"),
    ("packets", "I"), ("bytes", "I"), ("first", "I"), ("last", "I"), ("sport", "H"),
    ("dport", "H"), ("pad1", "B"), ("flags", "B"), ("proto", "B"), ("tos", "B"), ("src_as", "H"),
    ("dst_as", "H"), ("src_mask", "B"), ("dst_mask", "B"), ("pad2", "H"),
)  # fmt: skip


def _struct(form: tuple[tuple[str, str], ...], data: bytes, at: int) -> tuple[Fields, int]:
    code = ">" + "".join(letter for _, letter in form)
    values = unpack_from(code, data, at)
    return dict(zip((name for name, _ in form), values, strict=True)), at + calcsize(code)


def decode_netflow(data: bytes) -> Fields:
    """Header and records of a datagram of version 5."""
    header, at = _struct(_V5_HEADER, data, 0)
    records = []
    for _ in range(header["count"]):
        record, at = _struct(_V5_RECORD, data, at)
        records.append(record | {"src": _ip(record["src"]), "dst": _ip(record["dst"])})
    assert at == len(data)
    return header | {"records": records}


# sFlow

_FLOW = ("sequence", "source", "rate", "pool", "drops", "input", "output", "n")
_GENERIC = (
    ("index", "I"), ("type", "I"), ("speed", "Q"), ("direction", "I"), ("status", "I"),
    ("in_octets", "Q"), ("in_unicast", "I"), ("in_multicast", "I"), ("in_broadcast", "I"),
    ("in_discards", "I"), ("in_errors", "I"), ("in_unknown", "I"), ("out_octets", "Q"),
    ("out_unicast", "I"), ("out_multicast", "I"), ("out_broadcast", "I"), ("out_discards", "I"),
    ("out_errors", "I"), ("promiscuous", "I"),
)  # fmt: skip
_TUNNEL = ("length", "protocol", "src", "dst", "sport", "dport", "flags", "tos")


def _words(data: bytes, at: int, n: int) -> tuple[int, ...]:
    return unpack_from(f">{n}I", data, at)


def _element(kind: int, data: bytes) -> Fields:
    if kind == 1001:
        names = ("in_vlan", "in_priority", "out_vlan", "out_priority")
        return dict(zip(names, _words(data, 0, 4), strict=True))
    if kind in (1023, 1024):
        # Ports have their bytes in the wrong order, as Open vSwitch's have.
        found: Fields = dict(zip(_TUNNEL, _words(data, 0, 8), strict=True))
        return found | {"src": _ip(found["src"]), "dst": _ip(found["dst"])}
    if kind in (1029, 1030):
        return {"vni": _words(data, 0, 1)[0]}
    if kind == 1004:
        datapath, number = unpack_from(">QI", data)
        return {"datapath_id": datapath, "port": number}
    if kind == 1005:
        (length,) = _words(data, 0, 1)
        return {"name": data[4 : 4 + length].decode()}
    return {"raw": data.hex()}


def _elements(data: bytes, at: int, n: int, is_flow: bool) -> tuple[dict[int, Fields], int]:
    found: dict[int, Fields] = {}
    for _ in range(n):
        kind, length = _words(data, at, 2)
        at += 8
        body = data[at : at + length]
        if kind == 1 and is_flow:
            protocol, frame, stripped, n_bytes = _words(body, 0, 4)
            assert length == 16 + n_bytes + -n_bytes % 4
            found[kind] = {"protocol": protocol, "length": frame, "stripped": stripped,
                           "header": body[16 : 16 + n_bytes].hex()}  # fmt: skip
        elif kind == 1:
            found[kind] = _struct(_GENERIC, body, 0)[0]
        else:
            found[kind] = _element(kind, body)
        at += length
    return found, at


def decode_sflow(data: bytes) -> Fields:
    """A datagram of version 5; elements of samples by their number, in their order."""
    version, kind = _words(data, 0, 2)
    size = 4 if kind == 1 else 16
    address = str(ipaddress.ip_address(data[8 : 8 + size]))
    sub_id, sequence, uptime, n = _words(data, 8 + size, 4)
    at = 8 + size + 16
    samples = []
    for _ in range(n):
        form, length = _words(data, at, 2)
        at += 8
        end = at + length
        if form == 1:
            sample: Fields = dict(zip(_FLOW, _words(data, at, 8), strict=True))
            at += 32
        else:
            sample = dict(zip(("sequence", "source", "n"), _words(data, at, 3), strict=True))
            at += 12
        sample["form"] = form
        sample["elements"], at = _elements(data, at, sample["n"], form == 1)
        assert at == end
        samples.append(sample)
    assert at == len(data)
    return {"version": version, "agent": address, "sub_id": sub_id, "sequence": sequence,
            "uptime": uptime, "samples": samples}  # fmt: skip


# IPFIX

#: Specifiers of fields: enterprise (0 for IANA's) and number, length.
Template = list[tuple[int, int, int]]


class IpfixReader:
    """Reads the messages of one exporter, whose templates it remembers by domain and number."""

    def __init__(self) -> None:
        self.templates: dict[tuple[int, int], Template] = {}

    def read(self, data: bytes) -> Fields:
        """A message: its header, the templates in it by number, and its records: number of the
        template, and (enterprise, field, digits of the bytes) in their order."""
        version, length, export_time, sequence, domain = unpack_from(">HHIII", data)
        assert (version, length) == (10, len(data))
        message: Fields = {"time": export_time, "sequence": sequence, "domain": domain,
                           "templates": {}, "records": []}  # fmt: skip
        at = 16
        while at < len(data):
            set_id, size = unpack_from(">HH", data, at)
            body, end = at + 4, at + size
            if set_id in (2, 3):
                self._templates(data, body, end, set_id == 3, message)
            else:
                self._records(data, body, end, set_id, message)
            at = end
        assert at == len(data)
        return message

    def _templates(self, data: bytes, at: int, end: int, has_scope: bool, message: Fields) -> None:
        while at + 4 <= end:
            number, count = unpack_from(">HH", data, at)
            at += 4
            if has_scope:
                at += 2
            fields: Template = []
            for _ in range(count):
                field, length = unpack_from(">HH", data, at)
                at += 4
                enterprise = 0
                if field & 0x8000:
                    (enterprise,) = unpack_from(">I", data, at)
                    at += 4
                fields.append((enterprise, field & 0x7FFF, length))
            self.templates[message["domain"], number] = fields
            message["templates"][number] = fields

    def _records(self, data: bytes, at: int, end: int, set_id: int, message: Fields) -> None:
        template = self.templates[message["domain"], set_id]
        while at < end:
            record: list[tuple[int, int, str]] = []
            for enterprise, field, size in template:
                length = size
                if length == 0xFFFF:
                    length = data[at]
                    at += 1
                    if length == 255:
                        (length,) = unpack_from(">H", data, at)
                        at += 2
                record.append((enterprise, field, data[at : at + length].hex()))
                at += length
            message["records"].append((set_id, record))
