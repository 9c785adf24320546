"""ovs-dpctl-top: which fields of flows are summed, and how sums are shown."""

from __future__ import annotations

import io

import pytest

from netloom.programs.dpctl_top import Top, main
from netloom.programs.flow_summary import FlowSummary, format_bytes, format_sum, parse_flow

TCP = (
    "recirc_id(0),in_port(1),eth(src=52:54:00:00:00:01,dst=52:54:00:00:00:02),eth_type(0x0800),"
    "ipv4(src=10.0.0.1,dst=10.0.0.2,proto=6,frag=no),tcp(src=1234,dst=80), "
    "packets:10, bytes:1200, used:1.2s, flags:S., actions:ct(commit,zone=1),2\n"
)
TUNNEL = (
    "ufid:1, tunnel(tun_id=0x5,src=192.168.0.1,dst=192.168.0.2,flags(key)),in_port(3),"
    "eth(src=52:54:00:00:00:03),eth_type(0x0806),udp(src=3,dst=4/0xff), "
    "packets:5, bytes:300, used:never, dp:ovs, actions:drop\n"
)


def test_a_flow_counts_for_the_fields_that_are_there_as_a_whole() -> None:
    assert [text for _, text in parse_flow(TCP).sums] == [
        "in_port(1)",
        "eth(src=52:54:00:00:00:01,dst=52:54:00:00:00:02)",
        "eth_type(0x0800)",
        "ipv4(src=10.0.0.1,dst=10.0.0.2)",
        "tcp(dst=80)",
    ]
    assert [text for _, text in parse_flow(TUNNEL).sums] == [
        "in_port(3)",
        "eth_type(0x0806)",
        "udp(dst=4/0xff)",
        "tunnel(src=192.168.0.1,dst=192.168.0.2)",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("garbage line", "can't parse >garbageline<"),
        ("in_port(1),ipv4(), packets:1, bytes:1", "can't parse >ipv4()<"),
        ("", "flow fields are missing"),
        ("in_port(1), packets:5, used:1s, actions:1", "statistics are missing in_port"),
        ("in_port(1), actions:1, packets:5, bytes:1", "statistics are missing in_port"),
        ("in_port(1), packets:x, bytes:1", "invalid literal"),
    ],
)
def test_what_is_no_flow_says_why(line: str, message: str) -> None:
    summary = FlowSummary(0)
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        summary.add(line, 0)
    assert (summary.n_flows, summary.n_errors) == (0, 1)


def test_a_flow_that_is_seen_again_counts_once_with_what_it_says_last() -> None:
    summary = FlowSummary(0)
    summary.add("in_port(1), packets:10, bytes:1000, actions:1", 0)
    summary.add("in_port(1), packets:15, bytes:1700, actions:2", 1)
    (one,) = summary.sums("all", "count")
    assert one.cells() == (1, 15, 1700, 113)


def test_sums_of_forgotten_flows_stay() -> None:
    summary = FlowSummary(0)
    summary.add("in_port(1), packets:10, bytes:1000, actions:1", 0)
    summary.forget(5)
    summary.add("in_port(1), packets:1, bytes:100, actions:1", 6)
    (one,) = summary.sums("all", "count")
    assert one.cells() == (2, 11, 1100, 100)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (999_999_999, "999999999"),
        (1_000_000_000, "953.7 MiB"),
        (10_000_000_000, "9.3 GiB"),
        (1 << 40, "1.0 TiB"),
        (123_456_789_012_345_678, "109.7 PiB"),
    ],
)
def test_many_bytes_have_units(number: int, text: str) -> None:
    assert format_bytes(number) == text


def test_long_fields_are_cut() -> None:
    summary = FlowSummary(0)
    summary.add(TCP, 0)
    eth = next(one for one in summary.sums("eth", "count"))
    assert format_sum(eth) == (
        "eth(src=52:54:00:00:00:01,dst=52:54 ...          1        10      1200       120"
    )


def test_script_prints_the_sums(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(TCP + "rubbish\n"))
    assert main(["ovs-dpctl-top", "--script", "--verbose"]) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == " " * 34 + "Flow Summary" + " " * 34
    assert lines[1].startswith(" Total: 1  errors: 1 Accumulate: off Duration: 0:00:00.")
    assert lines[2] == " " * 46 + "DESC" + " " * 30
    assert lines[3] == (
        "              FIELDS (ALL)                   COUNT   PACKETS     BYTES   AVERAGE"
    )
    assert lines[4] == (
        "tcp(dst=80)                                      1        10      1200       120"
    )
    assert said.err == "ERROR:root:can't parse >rubbish<\n"


def test_keys_change_what_is_shown() -> None:
    top = Top(lambda: [TCP, TUNNEL], accumulates=False, decay_s=300, delay_ms=1000)
    top.sample()
    assert top.press("s")
    assert "PACKETS" in top.lines(80, 24)[3]
    assert top.lines(80, 24)[2].rstrip() == " " * 56 + "DESC"
    assert top.press("f")
    assert [line.split()[0] for line in top.lines(80, 24)[4:]] == ["in_port(1)", "in_port(3)"]
    assert top.press("h")
    assert top.is_halted
    assert top.press("x")
    assert not top.is_halted, "any key goes on"
    assert top.press("a")
    assert "Accumulate: on" in top.lines(80, 24)[1]
    assert not top.press("q")


def test_live_sums_are_of_the_last_sample_and_accumulated_ones_of_all() -> None:
    dumps = iter([[TCP], [TUNNEL], [TCP], [TUNNEL]])
    live = Top(lambda: next(dumps), accumulates=False, decay_s=300, delay_ms=1000)
    live.sample()
    live.sample()
    assert live.summary.n_flows == 1
    kept = Top(lambda: next(dumps), accumulates=True, decay_s=300, delay_ms=1000)
    kept.sample()
    kept.sample()
    assert kept.summary.n_flows == 2
