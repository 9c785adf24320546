"""Lines of a file that are alike are read as each would be alone."""

from __future__ import annotations

import random

import pytest

from netloom.base.errors import ConfigError
from netloom.openflow import messages as m
from netloom.openflow.action_encode import Unencodable
from netloom.openflow.codec import encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_encoder import FlowEncoder
from netloom.openflow.flow_lines import AlikeFlow, FlowLines
from netloom.openflow.flow_memory import FlowMemory
from netloom.openflow.flow_text import (
    NO_NAMES,
    parse_flow_lines,
    parse_flow_mod,
    read_flow_lines,
)
from netloom.openflow.protocol import P_NXM_TID, P_OF10, P_OF11, P_OF13, P_OF15

FORMS = (
    "priority={port},in_port=1,tcp,nw_dst={ip},tp_dst={port},actions=output:2",
    "cookie={cookie}, table=3, ip, nw_src={ip}, nw_dst={ip}, actions=drop",
    "dl_src={mac},dl_dst={mac},actions=mod_nw_src:{ip}",
    "arp,arp_spa={ip},arp_tpa={ip} actions=normal",
    "udp,nw_src={ip}/24,udp_dst={port},idle_timeout=5,actions=resubmit(,4)",
    "ip,nw_dst={ip},ip_dst={ip},actions=2",
    "tcp,tp_src={port},tp_src={port},actions=2",
    "nw_dst={ip},actions=drop",
    "tp_dst={port},actions=drop",
    "tcp,tp_dst={port}/0xff00,actions=controller(max_len={port})",
    "priority={port},actions=output:{port}",
)
IPS = ("10.0.0.1", "10.0.0.{n}", "1.2.3.4", "01.2.3.4", "1.2.3", "1.2.3.400", "10.0.0.0/8", "x", "")
PORTS = ("0", "80", "{n}", "65535", "65536", "0x50", "080", "-1", "80 ", "")
COOKIES = ("0", "1", "0x{n}", "0xffffffffffffffff", "18446744073709551616", "0x", "0x1/-1", "-1")
MACS = ("00:00:00:00:00:{n}", "0:0:0:0:0:1", "02:AA:00:00:00:01", "02:aa:00:00:00:01", "00:00")


def some_lines(rng: random.Random, count: int, odd: float) -> list[str]:
    def pick(choices: tuple[str, ...]) -> str:
        text = rng.choice(choices) if rng.random() < odd else choices[rng.randrange(3)]
        return text.replace("{n}", str(rng.randrange(10, 99)))

    return [
        rng.choice(FORMS)
        .replace("{ip}", pick(IPS))
        .replace("{port}", pick(PORTS))
        .replace("{cookie}", pick(COOKIES))
        .replace("{mac}", pick(MACS))
        for _ in range(count)
    ]


def alone(line: str, command: int) -> object:
    try:
        return parse_flow_mod(line, command)
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize("command", [m.OFPFC_ADD, m.OFPFC_MODIFY, m.OFPFC_DELETE])
@pytest.mark.parametrize("odd", [0.0, 0.1, 0.9])
def test_each_line_is_the_flow_that_it_is_alone(command: int, odd: float) -> None:
    def read(text: str, kind: int, memory: FlowMemory) -> tuple[m.FlowMod, int]:
        return parse_flow_mod(text, kind, NO_NAMES, memory)

    rng = random.Random(command)
    lines, memory = FlowLines(read), FlowMemory()
    for line in some_lines(rng, 1_500, odd):
        if command == m.OFPFC_DELETE:
            line = line.partition("actions=")[0].rstrip(", ")
        try:
            found: object = lines.parse(line, command, memory)
        except ConfigError as error:
            found = str(error)
        assert found == alone(line, command), line
    if not odd and command != m.OFPFC_DELETE:
        assert lines._hits > 500


def test_flows_of_a_file_share_their_actions() -> None:
    lines = [f"tcp,nw_dst=10.0.{n}.1,actions=output:2,output:3" for n in range(100)]
    flows, _ = parse_flow_lines(lines, None, NO_NAMES, "-")
    assert len({id(flow.actions) for flow in flows}) == 1
    assert flows[99] == parse_flow_mod(lines[99])[0]


def test_a_wrong_line_among_alike_ones_is_named() -> None:
    lines = [f"tcp,nw_dst=10.0.{n}.1,actions=output:2" for n in range(100)]
    lines[70] = "tcp,nw_dst=10.0.70,actions=output:2"
    with pytest.raises(ConfigError, match=r"^flows:71: "):
        parse_flow_lines(lines, None, NO_NAMES, "flows")


def test_lines_whose_reading_logs_something_have_no_shape() -> None:
    def read(text: str, kind: int, memory: FlowMemory) -> tuple[m.FlowMod, int]:
        return parse_flow_mod(text, kind, NO_NAMES, memory)

    lines, memory = FlowLines(read), FlowMemory()
    for n in range(40):
        lines.parse(f"nw_dst=10.0.0.{n},actions=output:2", m.OFPFC_ADD, memory)
        lines.parse(f"ip,nw_dst=10.0.0.{n},in_port=65533,actions=output:2", m.OFPFC_ADD, memory)
    assert not lines._hits


@pytest.mark.parametrize("protocol", [P_OF10, P_NXM_TID, P_OF11, P_OF13, P_OF15])
@pytest.mark.parametrize("wrapper", [b"", b"\4\4\0\x18\0\0\0\0" + bytes(range(16))])
def test_alike_flows_have_the_bytes_that_they_have_alone(protocol: int, wrapper: bytes) -> None:
    """Also behind a wrapper, as in bundles."""
    lines = [line for line in some_lines(random.Random(protocol), 600, 0.1)
             if isinstance(alone(line, m.OFPFC_ADD), tuple)]  # fmt: skip
    flows, _ = read_flow_lines(lines, None, NO_NAMES, "-")
    assert sum(isinstance(flow, AlikeFlow) for flow in flows) > 200
    encoder = FlowEncoder(protocol, wrapper)
    compared = 0
    for xid, (line, flow) in enumerate(zip(lines, flows, strict=True), 0x12345):
        try:
            data = encode_message(parse_flow_mod(line)[0], xid, protocol)
        except (OpenFlowError, Unencodable):
            continue
        if wrapper:
            size = (len(wrapper) + len(data)).to_bytes(2, "big")
            data = wrapper[:2] + size + data[4:8] + wrapper[8:] + data
        assert encoder.encode(flow, xid) == data, line
        compared += 1
    assert compared > 100


def test_lines_with_commands_comments_and_spaces_are_told_apart() -> None:
    lines = [f"priority={n},tcp,nw_dst=10.0.0.{n},actions=output:2" for n in range(40)]
    lines += [f"delete_strict {line.partition(',actions')[0]}" for line in lines]
    lines += [f"  {line}" for line in lines] + [f"{line} # 10.0.0.1" for line in lines]
    lines += [f"add {line}" for line in lines[:40]]
    flows, _ = parse_flow_lines(lines, None, NO_NAMES, "-")
    clean = [line.partition("#")[0].strip() for line in lines]
    assert flows == [parse_flow_mod(line, None)[0] for line in clean]
