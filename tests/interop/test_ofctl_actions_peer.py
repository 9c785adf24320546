"""Every action of ovs-actions(7): Debian's `ovs-ofctl` and ours read, print and send the same, for
actions made by chance with fixed seeds, and answer mistakes alike."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from netloom.base.errors import ConfigError
from netloom.openflow.flow_text import parse_flow_mod
from netloom.programs.ofctl import main

pytestmark = pytest.mark.interop

HERE = Path(__file__).parent
SEED = 20261121
N_EACH = 14


def load(path: Path):
    spec = importlib.util.spec_from_file_location(path.stem + "_of_actions", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CORPUS = load(HERE.parent / "support/action_corpus.py")
TEXTS = load(HERE / "test_ofctl_text_peer.py")
WIRE = load(HERE / "test_ofctl_wire_peer.py")
debian = TEXTS.debian

MISTAKES = [
    "multipath(x,50,modulo_n,1,0,reg0)", "multipath(eth_src,50,mod,1,0,reg0)",
    "multipath(eth_src,50,hrw,0,0,reg0)", "multipath(eth_src,50,hrw,20,0,reg0[0..3])",
    "multipath(eth_src,50)", "multipath(nw_src,7,hrw,20,1,tun_erspan_idx)", "bundle()",
    "multipath(nw_src,7,hrw,20,1,eth_type)", "bundle(eth_src,0,hrw,ofport)",
    "bundle(eth_src,0,hrw,ofport,foo:1)", "bundle(eth_src,0,zz,ofport,members:1)",
    "bundle(eth_src,0,hrw,zz,members:1)", "bundle(zz,0,hrw,ofport,members:1)",
    "bundle(eth_src,0,hrw,ofport,members:zz)", "bundle(eth_src,0,hrw,ofport,members:none)",
    "bundle_load(eth_src,0,hrw,ofport,eth_type,members:4)",
    "bundle_load(eth_src,0,hrw,ofport,reg0[0..3],members:4)",
    "bundle_load(eth_src,0,hrw,ofport,tun_erspan_idx[],members:4)",
    "bundle_load(eth_src,0,hrw,ofport,members:4,8)", "fin_timeout(foo=3)",
    "fin_timeout(idle_timeout=x)", "sample(probability=0)", "sample(probability=x)",
    "sample(foo=1)", "sample()", "sample(probability=5,sampling_port=foo)",
    "sample(probability=70000)", "sample(probability=5,collector_set_id=x)",
    "check_pkt_larger(100)->reg0[]", "check_pkt_larger(x)->reg0[0]", "check_pkt_larger(100)",
    "check_pkt_larger(100)->foo", "check_pkt_larger(100)->eth_type[0]", "delete_field:reg0",
    "delete_field:foo", "delete_field", "encap(foo)", "encap()", "encap(nsh(md_type=3))",
    "encap(nsh(foo=3))", "encap(nsh(md_type))", "encap(nsh(md_type=2,tlv(0x1000)))",
    "encap(nsh(tlv(1,2,3)))", "encap(ethernet(md_type=1))", "decap(foo)",
    "decap(packet_type(ns=0))", "decap(packet_type(type=0))", "decap(packet_type(ns=9,type=0))",
    "decap(packet_type(ns=1,type=x))", "unroll_xlate", "ct(force)",
    "ct(table=255)", "ct(table=x)", "ct(zone=reg0)", "ct(zone=foo)", "ct(zone=70000)",
    "ct(commit,alg=tftp)", "ct(alg=foo)", "ct(nat(src=1.1.1.1))", "ct(commit,nat(src,hash,random))",
    "ct(commit,nat(src,dst))", "ct(commit,nat(persistent))", "ct(commit,nat(src=fe80::1))",
    "ct(commit,nat(src=1.1.1.5-1.1.1.1))", "ct(commit,nat(src=1.1.1.5:90-80))",
    "ct(commit,nat(src=1.1.1.5:x))", "ct(commit,nat(src=foo))", "ct(commit,nat(foo=1))",
    "ct(commit,nat(src=1.1.1.1foo))", "ct(commit,nat(src=1.1.1.1:80foo))",
    "ct(commit,nat(src=:80))", "ct(commit,nat(src=1.1.1.1-fe80::1))",
    "ct(exec(set_field:1->ct_mark))", "ct(commit,exec(set_field:1->reg0))",
    "ct(commit,exec(output:1))", "ct(commit,exec(nat))", "ct(commit,exec(ct))",
    "set_field:1->ct_mark", "nat", "clone(set_field:1->ct_mark)", "write_actions(nat)",
    "ct(foo)", "ct(commit,alg=)", "ct(zone=)", "move:reg0[]->ct_mark", "clone(write_actions(1))",
    "learn(table=255)", "learn(table=x)", "learn(foo)", "learn(foo=1)", "learn(priority=x)",
    "learn(result_dst=reg0)", "learn(result_dst=eth_type[0])", "learn(output:5)",
    "learn(load:x->reg0[])", "learn(load:5)", "learn(load:5->eth_type[])", "learn(eth_type=x)",
    "learn(load:500->reg0[0..7])", "learn(eth_type=0x10000)", "learn(reg0=reg1[0..3])",
    "learn(reg0[0..3]=reg1[0..4])", "learn(eth_src[0..7]=0x555)", "learn(tcp_src=5)",
    "learn(dl_vlan=5)", "learn(reg0=5/7)", "learn(ip_src=1.2.3.4/24)", "learn(ct_state=+trk)",
    "learn(load:NXM_OF_ETH_SRC[]->reg0[])", "learn(load:1->tun_erspan_idx[])",
    "write_actions(output:reg0[])", "write_actions(controller(id=3))", "write_actions(exit)",
    "write_actions(learn())", "write_actions(ct(commit))", "write_actions()",
]  # fmt: skip


def corpus(seed: int, n_each: int) -> list[str]:
    maker = CORPUS.Maker(seed)
    return [f"tcp,actions={maker.make(keyword)}" for keyword in CORPUS.KEYWORDS
            for _ in range(n_each)]  # fmt: skip


@pytest.mark.parametrize("options", [("-F", "NXM"), ("-O", "OpenFlow13"), ("-O", "OpenFlow15")])
def test_actions_are_read_and_printed_alike(debian, capsys, options):
    differences = []
    for flow in corpus(SEED, N_EACH):
        expected = debian(*options, "parse-flow", flow)
        found = TEXTS.ours(capsys, *options, "parse-flow", flow)
        if found != expected:
            differences.append((flow, expected, found))
    assert differences == []


@pytest.mark.parametrize("match", ["", "tcp,"])
@pytest.mark.parametrize("action", MISTAKES)
def test_a_mistake_in_an_action_gets_the_same_answer(debian, capsys, action, match):
    flow = f"{match}actions={action}"
    options = ("-O", "OpenFlow13")
    assert TEXTS.ours(capsys, *options, "parse-flow", flow) == debian(*options, "parse-flow", flow)


@pytest.mark.parametrize("protocol", WIRE.PROTOCOLS)
def test_actions_have_the_same_bytes(tmp_path, debian, capsys, protocol):
    flows = []
    for text in corpus(SEED + protocol, 5):
        try:
            _, usable = parse_flow_mod(text, 0)
        except ConfigError:
            continue
        if usable & protocol:
            flows.append(text)
    assert len(flows) > 50
    file = tmp_path / "flows"
    file.write_text("".join(f"{text}\n" for text in flows))
    switch = WIRE.RecordingSwitch(tmp_path / "switch", WIRE.p.VERSION[protocol])
    command_line = ("--no-names", *WIRE.PROTOCOLS[protocol], "add-flows",
                    f"unix:{switch.path}", str(file))  # fmt: skip
    assert debian(*command_line)[2] == 0
    expected = switch.take()
    assert main(["ovs-ofctl", *command_line]) == 0, capsys.readouterr().err
    found = switch.take()
    switch.close()
    assert [pair for pair in zip(expected, found, strict=False) if pair[0] != pair[1]] == []
    assert len(found) == len(expected)
