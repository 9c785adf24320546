"""Whatever packets look like, what exporters send of them can be read, and counts each once."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.export_decoders import IpfixReader, decode_netflow, decode_sflow

from netloom.flow.extract import extract_key
from netloom.telemetry.ipfix import Exporter, IpfixSettings
from netloom.telemetry.ipfix_record import Interface, Observation
from netloom.telemetry.netflow import FlowName, Netflow, NetflowSettings
from netloom.telemetry.sflow import Agent, SflowSettings
from netloom.telemetry.sflow_format import ENTITY, FlowSample, Source

_TYPES = (b"\x08\x00\x45", b"\x86\xdd\x60", b"\x81\x00\x20\x05\x08\x00\x45", b"\x88\x47", b"")
_FRAMES = st.builds(
    lambda macs, kind, rest: macs + kind + rest,
    st.binary(min_size=12, max_size=12),
    st.sampled_from(_TYPES),
    st.binary(min_size=2, max_size=80),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_FRAMES, st.integers(0, 3), st.booleans()), max_size=12))
def test_ipfix_records_of_any_packets_are_read_back(
    seen: list[tuple[bytes, int, bool]],
) -> None:
    sent: list[bytes] = []

    def send(data: bytes) -> tuple[int, int]:
        sent.append(data)
        return 1, 0

    wanted = IpfixSettings((), active_timeout_s=9, max_flows=3, virtual_obs_id="x")
    exporter = Exporter(wanted, 1, send)
    for frame, domain, leaves in seen:
        key = extract_key(frame, 1)
        egress = Interface(2, "out") if leaves else None
        exporter.see(
            Observation(domain, 0, int(leaves), key, len(frame), 2, False, Interface(), egress), 0
        )
        assert exporter.n_flows <= 3
    exporter.flush(0)
    reader = IpfixReader()
    records = [r for data in sent for number, r in reader.read(data)["records"] if number != 462]
    packets = [int(digits, 16) for record in records for _, field, digits in record if field == 2]
    assert sum(packets) == 2 * len(seen)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.binary(max_size=1_000), max_size=20))
def test_sflow_datagrams_of_any_headers_are_read_back(headers: list[bytes]) -> None:
    agent = Agent(SflowSettings((), sampling=3), bytes(4), Source(ENTITY, 1), 0)
    for header in headers:
        agent.add_packet(FlowSample(1, 2, len(header), header), 0)
    agent.tick(1_000)
    datagrams = agent.take(1_000)
    assert all(len(data) <= 1_400 for data in datagrams)
    samples = [s for data in datagrams for s in decode_sflow(data)["samples"]]
    assert [s["elements"][1]["header"] for s in samples] == [header.hex() for header in headers]


_NAMES = st.builds(
    FlowName, st.just(1), st.integers(0, 2), st.just(5), st.just(0), st.sampled_from((1, 6)),
    st.integers(0, 2), st.just(7),
)  # fmt: skip
_COUNTS = st.tuples(st.integers(1, 1 << 33), st.integers(1, 1 << 34), st.integers(0, 0xFFF))


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(_NAMES, st.integers(1, 3), _COUNTS), max_size=20))
def test_netflow_tells_each_packet_once(
    counted: list[tuple[FlowName, int, tuple[int, int, int]]],
) -> None:
    netflow = Netflow(NetflowSettings(()), 0)
    for name, output, counts in counted:
        netflow.update(name, output, counts, 5, (5, 5))
    for name, _, _ in counted:
        netflow.end(name, (9, 9))
    records = [r for data in netflow.take() for r in decode_netflow(data)["records"]]
    for column, place in (("packets", 0), ("bytes", 1)):
        assert sum(r[column] for r in records) == sum(counts[place] for *_, counts in counted)
