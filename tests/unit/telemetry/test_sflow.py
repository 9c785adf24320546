"""An sFlow agent: when samples leave, how they are numbered, what is in them."""

from __future__ import annotations

from itertools import pairwise

from tests.support.export_decoders import decode_sflow

from netloom.telemetry import sflow_format as form
from netloom.telemetry.sflow import MAX_DATAGRAM, Agent, SflowSettings

ENTITY = form.Source(form.ENTITY, 1_000)
FIRST, SECOND = (form.Source(form.INTERFACE, number) for number in (1, 2))
SAMPLE = form.FlowSample(3, 4, 100, bytes(range(50)), (5, 1), (6, 2))


def _agent(**settings: int) -> Agent:
    wanted = SflowSettings(("127.0.0.1",), **settings)  # type: ignore[arg-type]
    return Agent(wanted, bytes((127, 0, 0, 1)), ENTITY, 10_000)


def test_samples_leave_at_the_next_second() -> None:
    agent = _agent(sampling=10)
    agent.add_packet(SAMPLE, 10_200)
    agent.add_packet(SAMPLE, 10_300)
    assert agent.tick(10_999) == []
    assert agent.take(10_999) == []
    assert agent.deadline() == 11_000
    agent.tick(11_000)
    (data,) = agent.take(11_000)
    datagram = decode_sflow(data)
    assert (datagram["agent"], datagram["sequence"], datagram["uptime"]) == ("127.0.0.1", 1, 1_000)
    first, second = datagram["samples"]
    assert (first["sequence"], first["pool"], second["sequence"], second["pool"]) == (1, 10, 2, 20)
    assert (first["source"], first["rate"], first["drops"]) == (2 << 24 | 1_000, 10, 0)
    assert (first["input"], first["output"]) == (3, 4)
    # The frame has a checksum on the wire, which nobody sees.
    assert first["elements"][1] == {
        "protocol": 1, "length": 104, "stripped": 4, "header": bytes(range(50)).hex(),
    }  # fmt: skip
    assert first["elements"][1001] == {
        "in_vlan": 5, "in_priority": 1, "out_vlan": 6, "out_priority": 2,
    }  # fmt: skip


def test_a_full_datagram_leaves_at_once() -> None:
    agent = _agent()
    for _ in range(30):
        agent.add_packet(SAMPLE, 10_100)
    datagrams = agent.take(10_100)
    assert datagrams
    assert all(len(data) <= MAX_DATAGRAM for data in datagrams)
    agent.tick(11_000)
    datagrams += agent.take(11_000)
    decoded = [decode_sflow(data) for data in datagrams]
    assert [datagram["sequence"] for datagram in decoded] == list(range(1, len(decoded) + 1))
    numbers = [sample["sequence"] for datagram in decoded for sample in datagram["samples"]]
    assert numbers == list(range(1, 31))


def test_a_sample_that_fits_into_no_datagram_is_left_out() -> None:
    agent = _agent(header=2_000)
    agent.add_packet(form.FlowSample(1, 2, 2_000, bytes(2_000)), 10_000)
    agent.tick(11_000)
    assert agent.take(11_000) == []


def test_counters_come_due_every_polling_interval() -> None:
    agent = _agent(polling_s=3)
    agent.watch({FIRST, SECOND, ENTITY})
    due = [(second, source) for second in range(11, 23) for source in agent.tick(second * 1_000)]
    for source in (FIRST, SECOND, ENTITY):
        seconds = [second for second, each in due if each == source]
        assert len(seconds) == 4
        assert [after - before for before, after in pairwise(seconds)] == [3, 3, 3]


def test_sources_that_are_gone_are_asked_no_more() -> None:
    agent = _agent(polling_s=1)
    agent.watch({FIRST, SECOND})
    assert agent.tick(11_000) == [SECOND, FIRST]
    agent.watch({SECOND})
    assert agent.tick(12_000) == [SECOND]
    agent.add_counters(FIRST, [], 12_000)
    assert agent.take(12_000) == []


def test_without_polling_there_are_no_counters() -> None:
    agent = _agent(polling_s=0)
    agent.watch({FIRST, ENTITY})
    assert agent.tick(11_000) == []
    assert agent.deadline() is None


def test_elements_of_counters_are_read_back() -> None:
    agent = _agent(polling_s=1)
    agent.watch({FIRST})
    (due,) = agent.tick(11_000)
    counters = form.InterfaceCounters(1, 10**9, 1, 3, 5_000_000_000, 7, -1, 1, 2, 3, 4, -1, 0)
    agent.add_counters(
        due,
        [form.port_name_element("eth10"), form.openflow_port_element(0xABC, 7),
         form.interface_element(counters)],
        11_000,
    )  # fmt: skip
    (data,) = agent.take(11_000)
    (sample,) = decode_sflow(data)["samples"]
    assert list(sample["elements"]) == [1005, 1004, 1]
    assert sample["elements"][1005] == {"name": "eth10"}
    assert sample["elements"][1004] == {"datapath_id": 0xABC, "port": 7}
    told = sample["elements"][1]
    assert (told["speed"], told["in_octets"], told["out_discards"]) == (10**9, 5 * 10**9, 2**32 - 1)


def test_tunnels_and_labels_are_told() -> None:
    outside = form.tunnel_element(True, 17, (0x01020304, 0x05060708), (0x1234, 4789), 8)
    agent = _agent()
    more = (form.mpls_element((0x00005140,)), form.vni_element(True, 77), outside)
    agent.add_packet(form.FlowSample(1, 2, 60, bytes(60), more=more), 10_000)
    agent.tick(11_000)
    (data,) = agent.take(11_000)
    elements = decode_sflow(data)["samples"][0]["elements"]
    assert elements[1029] == {"vni": 77}
    assert elements[1023] == {
        "length": 0, "protocol": 17, "src": "1.2.3.4", "dst": "5.6.7.8", "sport": 0x3412,
        "dport": 0xB512, "flags": 0, "tos": 8,
    }  # fmt: skip
    assert elements[1006]["raw"].endswith("0000000100005140")


def test_probability_is_never_none() -> None:
    assert SflowSettings((), sampling=1).probability == 0xFFFFFFFF
    assert SflowSettings((), sampling=1 << 40).probability == 1
    assert SflowSettings((), sampling=0).probability == 0


def test_both_ends_of_a_link_with_lacp_are_told() -> None:
    kind, data = form.lacp_element((0x0A, 0x0B), 11, (5, 0xBD, 0, 2), (1, -1, -1, -1, 2, 3, -1, -1))
    assert kind == 7
    assert data.hex() == (
        "00000000000a0000" "00000000000b0000" "0000000b" "05bd0002" "00000001"
        + "ffffffff" * 3 + "00000002" "00000003" + "ffffffff" * 2
    )  # fmt: skip
