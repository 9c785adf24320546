"""Thousands of flows made from the tables: Debian's `ovs-ofctl` and ours read, print and encode
them alike, and refuse the same with the same words. What both read goes through files of many
flows, so that a process is started for each group of flows and not for each flow."""

from __future__ import annotations

import importlib.util
import random
import subprocess
from pathlib import Path

import pytest
from tests.support.field_corpus import field_matches
from tests.support.peers import peer_environment

from netloom.base.errors import ConfigError
from netloom.openflow import protocol as p
from netloom.openflow.action_encode import Unencodable
from netloom.openflow.codec import encode_message
from netloom.openflow.errors import OpenFlowError
from netloom.openflow.flow_text import parse_flow_mod
from netloom.programs.ofctl import main

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
SEED = 20261121
#: Flows that Debian's 3.1 reads otherwise on purpose or by mistake:
#: - of these fields it puts the value into the mask too;
#: - it knows the lengths of NSH's fields otherwise than 3.7;
#: - for these three it demands an Ethernet type that its own manual page does not.
OTHERWISE = ("tun_erspan", "tun_gtpu", "nsh_", "ct_nw_", "ct_ipv6_", "ct_tp_")
#: Texts that only 3.1 makes something of, or whose sense is one bit wider than the field.
ODD = ("ct_state=7/7/7", "ct_state[1..2]", "NXM_NX_CT_STATE[1..2]", "packet_type[1..2]",
       "OXM_OF_PACKET_TYPE[1..2]", "ipv6_label=0x100000", "NXM_NX_IPV6_LABEL=0x100000",
       "tcp_flags[]", "NXM_NX_TCP_FLAGS[]", "ONFOXM_ET_TCP_FLAGS[]", "OXM_OF_TCP_FLAGS[]",
       "tcp_flags=0/0xfff")  # fmt: skip
N_MISTAKES = 500
N_PER_FILE = 400


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem + "_of_corpus", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ACTIONS = load(HERE.parent / "support/action_corpus.py")
TEXTS = load(HERE / "test_ofctl_text_peer.py")


def corpus() -> list[str]:
    chance = random.Random(SEED)
    maker = ACTIONS.Maker(SEED)
    flows = [f"{match},actions=drop" for match in field_matches(SEED, skip=OTHERWISE)]
    flows += TEXTS.corpus()
    for keyword in ACTIONS.KEYWORDS:
        for _ in range(40):
            head = ",".join([chance.choice(TEXTS.MATCHES), chance.choice(TEXTS.EXTRAS)]).strip(",")
            flows.append(f"{head},actions={maker.make(keyword)}")
    return [flow for flow in flows if not any(odd in flow for odd in ODD)]


def sorted_out() -> tuple[dict[int, list[str]], list[str]]:
    """The good flows by the protocols that can say them, and the bad ones."""
    good: dict[int, list[str]] = {}
    bad = []
    for flow in corpus():
        try:
            good.setdefault(parse_flow_mod(flow, 0)[1], []).append(flow)
        except ConfigError:
            bad.append(flow)
    return good, bad


GOOD, BAD = sorted_out()


def test_the_corpus_is_large_and_has_both_kinds():
    assert sum(map(len, GOOD.values())) > 3000
    assert len(BAD) > 2500


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    environment = peer_environment(tmp_path_factory.mktemp("run"))

    def run(*args: str) -> tuple[str, str, int]:
        done = subprocess.run(
            ["ovs-ofctl", "-vconsole:off", *args], capture_output=True, text=True,
            env=environment, check=False,
        )  # fmt: skip
        return done.stdout, done.stderr, done.returncode

    return run


def ours(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, str, int]:
    capsys.readouterr()
    status = main(["ovs-ofctl", "-vconsole:off", *args])
    captured = capsys.readouterr()
    return captured.out, captured.err, status


def first_difference(expected: tuple[str, str, int], found: tuple[str, str, int]) -> str:
    """Where two results part, for people to read."""
    for theirs, our in zip(expected[0].splitlines(), found[0].splitlines()):
        if theirs != our:
            return f"Debian: {theirs}\nours:   {our}"
    return f"Debian: {expected[1:]}, {len(expected[0])}\nours:   {found[1:]}, {len(found[0])}"


@pytest.mark.parametrize("verbosity", ["", "-mmm"])
def test_good_flows_are_printed_alike(debian, capsys, tmp_path, verbosity):
    options = [verbosity] if verbosity else []
    for group, flows in GOOD.items():
        for start in range(0, len(flows), N_PER_FILE):
            file = tmp_path / f"flows-{group}-{start}"
            file.write_text("".join(f"{flow}\n" for flow in flows[start : start + N_PER_FILE]))
            expected = debian(*options, "parse-flows", str(file))
            found = ours(capsys, *options, "parse-flows", str(file))
            if found != expected:
                pytest.fail(first_difference(expected, found))


def test_bad_flows_are_refused_with_the_same_words(debian, capsys):
    chosen = random.Random(SEED).sample(BAD, N_MISTAKES)
    differences = []
    for flow in chosen:
        expected, found = debian("parse-flow", flow), ours(capsys, "parse-flow", flow)
        if expected != found:
            differences.append((flow, expected, found))
    assert differences == []


@pytest.mark.parametrize("protocol", [p.P_OF10, p.P_OF10_TID, p.P_NXM, p.P_OF11, p.P_OF12,
                                      p.P_OF13, p.P_OF14, p.P_OF15])  # fmt: skip
def test_bytes_of_flow_mods_are_printed_alike(debian, capsys, tmp_path, protocol):
    data = []
    for group, flows in GOOD.items():
        if group & protocol:
            for flow in flows:
                try:
                    message = parse_flow_mod(flow, 0)[0]
                    data.append(encode_message(message, len(data), protocol))
                except (OpenFlowError, Unencodable):
                    continue
    assert len(data) > 300
    file = tmp_path / "messages"
    file.write_bytes(b"".join(data))
    for options in ((), ("-m",)):
        expected, found = debian(*options, "ofp-parse", str(file)), \
            ours(capsys, *options, "ofp-parse", str(file))  # fmt: skip
        if found != expected:
            pytest.fail(first_difference(expected, found))
