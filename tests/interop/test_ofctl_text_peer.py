"""What `ovs-ofctl` makes of flows: the same words from Debian's and from ours, for a corpus made
from the tables of fields and actions with a fixed seed, and for a list of mistakes.

Compared are the standard output and the program's own error line, not its log.
"""

from __future__ import annotations

import random
import subprocess

import pytest
from tests.support.peers import peer_environment

from netloom.programs.ofctl import main

pytestmark = pytest.mark.interop

SEED = 20261121
N_FLOWS = 250

MATCHES = [
    "", "in_port=1", "in_port=LOCAL", "dl_src=00:11:22:33:44:55",
    "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00", "dl_dst=ff:ff:ff:ff:ff:ff", "dl_vlan=5",
    "dl_vlan=0xffff", "dl_vlan_pcp=3", "dl_vlan=5,dl_vlan_pcp=6", "vlan_tci=0x1005/0x1fff",
    "vlan_tci=0", "vlan_vid=0x1003/0x1003", "vlan_vid=0", "dl_type=0x88cc", "ip", "ip,nw_tos=252",
    "ip,nw_src=10.0.0.0/8", "ip,nw_src=10.0.0.1/255.0.255.0", "ip,nw_dst=1.2.3.4",
    "ip,nw_proto=5", "ip,nw_ttl=3", "ip,nw_ecn=2", "ip,nw_frag=first", "ip,ip_frag=not_later",
    "ip,ip_dscp=3", "tcp,tp_src=80", "tcp,tp_dst=0x1000/0xf000", "tcp,tcp_flags=+syn-ack", "udp",
    "udp,udp_src=53,tp_dst=53", "sctp,tp_dst=7", "icmp,icmp_type=8,icmp_code=0", "arp",
    "arp,arp_op=1,arp_spa=1.2.3.4", "arp,arp_sha=00:00:00:00:00:01", "rarp,nw_dst=1.2.3.0/24",
    "ipv6", "ipv6,ipv6_src=2001:db8::/32", "ipv6,ipv6_label=0x12345", "tcp6,tp_dst=443",
    "udp6,udp_dst=1", "icmp6,icmp_type=135,icmp_code=0,nd_target=fe80::1",
    "icmp6,icmpv6_type=136,icmpv6_code=0,nd_tll=00:01:02:03:04:05", "sctp6", "mpls",
    "mpls,mpls_label=5,mpls_tc=3,mpls_bos=1", "mplsm", "tun_id=5", "tun_id=0x10/0xf0",
    "tun_src=1.1.1.1,tun_dst=2.2.2.2", "reg0=1", "reg15=0x5/0xff", "xreg1=7", "xxreg0=1",
    "reg3[4..7]=2", "metadata=0x5", "metadata=1/3", "pkt_mark=4", "ct_state=+trk+est",
    "ct_state=+new-inv+trk,ct_zone=5", "ct_mark=1,ct_label=2", "conj_id=3", "recirc_id=0",
    "dp_hash=5", "actset_output=3", "nw_src=1.2.3.4", "tun_flags=oam",
]  # fmt: skip

ACTIONS = [
    "drop", "1", "output:2", "LOCAL", "in_port", "normal", "flood", "all", "CONTROLLER",
    "controller:100", "controller(max_len=5,id=7)", "controller(userdata=01.02.0a,pause)",
    "controller(reason=invalid_ttl)", "enqueue:1:2", "output:reg0[]", "output:NXM_NX_REG1[0..15]",
    "output(port=3,max_len=100)", "group:4", "mod_vlan_vid:7", "mod_vlan_pcp:3", "set_vlan_vid:4",
    "strip_vlan", "pop_vlan", "push_vlan:0x8100", "push_vlan:0x88a8", "mod_dl_src:0:1:2:3:4:5",
    "mod_dl_dst:01:02:03:04:05:06", "mod_nw_src:1.2.3.4", "mod_nw_dst:5.6.7.8", "mod_nw_tos:252",
    "mod_nw_ecn:3", "mod_tp_src:80", "mod_tp_dst:443", "dec_ttl", "dec_ttl(1,2)",
    "set_field:00:00:00:00:00:01->eth_src", "set_field:1.2.3.4->ip_dst",
    "set_field:5->reg0", "set_field:0x5/0xf->reg1", "set_field:7->tun_id",
    "set_field:1/1->metadata", "set_field:3->tcp_dst", "set_field:9->udp_src",
    "set_field:4099->vlan_vid", "set_field:3->vlan_pcp", "set_field:fe80::1->ipv6_dst",
    "set_field:2->nw_ttl", "set_field:0x1234567890abcdef1122334455667788->xxreg1",
    "set_field:5->xreg0", "set_field:10->ip_dscp", "set_field:40->nw_tos", "set_field:1->arp_op",
    "set_field:1->in_port", "load:0xff->NXM_NX_REG0[]", "load:3->reg1[4..7]",
    "load:0->NXM_OF_VLAN_TCI[]", "load:1->OXM_OF_METADATA[63]", "move:reg0[]->reg1[]",
    "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]", "move:reg0[0..3]->xxreg3[100..103]",
    "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]", "push:reg0[]", "push:NXM_OF_ETH_SRC[0..3]",
    "pop:NXM_NX_REG3[]", "set_tunnel:5", "set_tunnel:0x100000000", "set_tunnel64:5",
    "set_queue:7", "pop_queue", "push_mpls:0x8847", "pop_mpls:0x0800", "set_mpls_label(9)",
    "set_mpls_tc(3)", "set_mpls_ttl(64)", "dec_mpls_ttl", "resubmit:3", "resubmit(,5)",
    "resubmit(1,2)", "resubmit(3,4,ct)", "clone(output:1,set_field:3->reg0)", "clone()",
    "note:01.02.03", "note:", "conjunction(1,1/2)", "conjunction(7,3/3)", "exit", "meter:1",
    "clear_actions", "write_actions(output:1)", "write_actions(set_field:1->reg0,2)",
    "write_metadata:5", "write_metadata:0x10/0xff", "goto_table:4", "goto_table:200",
]  # fmt: skip

EXTRAS = [
    "", "table=0", "table=3", "table=255", "priority=5", "priority=0", "priority=0x10",
    "priority=65535", "idle_timeout=60", "hard_timeout=90", "cookie=5", "cookie=0xffffffffffffffff",
    "send_flow_rem", "check_overlap", "reset_counts", "no_packet_counts", "importance=7",
    "duration=4s,n_packets=3,n_bytes=9,idle_age=4", "allow_hidden_fields",
]  # fmt: skip

MISTAKES = [
    "", "ip", "actions", "actions=", "action=1", "foo=1,actions=1", "priority=70000,actions=1",
    "priority=-1,actions=1", "priority=,actions=1", "table=300,actions=1", "table=x,actions=1",
    "idle_timeout=a,actions=1", "hard_timeout=65536,actions=1", "cookie=1/1,actions=1",
    "cookie=z,actions=1", "importance=99999,actions=1", "in_port=70000,actions=1",
    "in_port=foo,actions=1", "dl_src=1,actions=1", "dl_src=1:2:3:4:5,actions=1",
    "dl_type=0x10000,actions=1", "ip,nw_src=1.2.3,actions=1", "ip,nw_src=1.2.3.4/33,actions=1",
    "ipv6,ipv6_src=zz,actions=1", "ipv6,ipv6_dst=::/129,actions=1", "tcp,tp_src=70000,actions=1",
    "tcp,tcp_flags=+foo,actions=1", "ip,nw_frag=maybe,actions=1", "ct_state=+foo,actions=1",
    "reg0[40]=1,actions=1", "reg0[0..3]=20,actions=1", "reg0[3..1]=1,actions=1",
    "bogus[0]=1,actions=1", "dl_vlan=5000,actions=1", "nw_tos=300,ip,actions=1",
    "ip,nw_tos=3,actions=1", "dl_vlan_pcp=9,actions=1", "out_port=1,actions=1",
    "reg0,actions=1", "actions=output:reg0[0..3", "actions=group:", "actions=group:x",
    "actions=enqueue:1", "actions=enqueue:foo:1", "actions=enqueue:1:x", "actions=set_field:1",
    "actions=set_field:1->foo", "actions=set_field:1->reg0[0..3]", "actions=set_field:1->dl_type",
    "actions=set_field:999->nw_tos", "actions=mod_vlan_vid:5000", "actions=mod_vlan_vid:x",
    "actions=mod_vlan_pcp:9", "actions=mod_dl_src:1", "actions=mod_nw_src:1",
    "actions=mod_nw_tos:300", "actions=mod_nw_tos:3", "actions=mod_tp_src:70000",
    "actions=mod_nw_ecn:9", "actions=push_vlan:0x1234", "actions=push_vlan", "actions=pop_mpls:x",
    "actions=dec_ttl()", "actions=dec_ttl(x)", "actions=set_mpls_label(2000000)",
    "actions=set_mpls_tc(9)", "actions=set_mpls_ttl(300)", "actions=set_mpls_ttl",
    "actions=set_tunnel:x", "actions=set_queue:x", "actions=push:foo", "actions=pop:eth_type",
    "actions=resubmit:foo", "actions=resubmit()", "actions=resubmit(,x)", "actions=resubmit(1,300)",
    "actions=resubmit(1,2,3)", "actions=move:reg0", "actions=move:reg0->",
    "actions=move:reg0->eth_type", "actions=load:1", "actions=load:x->reg0",
    "actions=load:5->reg0[0..1]", "actions=conjunction(1)", "actions=conjunction(1,3/2)",
    "actions=conjunction(x,1/2)", "actions=conjunction(1,1/1)", "actions=conjunction(1,1/65)",
    "actions=conjunction(1,0/2)", "actions=conjunction(1,1/2),1", "actions=controller(foo=1)",
    "actions=controller(max_len=x)", "actions=controller:x", "actions=controller(reason=bad)",
    "actions=meter:x", "actions=goto_table:x", "actions=goto_table:255", "actions=write_metadata:x",
    "actions=write_metadata:1/x", "actions=write_actions(goto_table:1)", "actions=clone(bogus)",
    "actions=exit:1", "actions=strip_vlan:4", "actions=output(port=1)",
    "actions=output(port=1,max_len=2)", "actions=output(foo=1)", "actions=drop:1",
    "actions=note:zz", "actions=note:0", "actions=local:3", "actions=1:3", "actions=NORMAL:4",
    "actions=none", "actions=meter:1,meter:2", "actions=goto_table:1,goto_table:2",
    "actions=clear_actions,clear_actions", "actions=bogus", "actions=bogus:3", "actions=drop,1",
    "actions=output:", "actions=output:70000", "actions=65534", "actions=65535", "actions=65300",
    "table=3,actions=goto_table:2", "actions=goto_table:4,output:1",
    "actions=write_actions(output:1),clear_actions", "actions=apply_actions(output:1)",
    "tcp,actions=set_field:1->udp_dst", "actions=set_field:1->vlan_pcp",
    "actions=set_field:5->vlan_vid", "actions=load:1->NXM_OF_IP_SRC[0..3]",
    "actions=move:NXM_OF_TCP_SRC[]->reg0[0..15]", "actions=push:NXM_OF_IP_SRC[]", "actions=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    """Runs Debian's ovs-ofctl: (standard output, own error line, exit status)."""
    environment = peer_environment(tmp_path_factory.mktemp("run"))

    def run(*args: str) -> tuple[str, str, int]:
        done = subprocess.run(
            ["ovs-ofctl", *args], capture_output=True, text=True, env=environment, check=False
        )
        return done.stdout, error_line(done.stderr), done.returncode

    return run


def error_line(text: str) -> str:
    return "".join(line for line in text.splitlines(True) if line.startswith("ovs-ofctl:"))


def ours(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[str, str, int]:
    capsys.readouterr()
    status = main(["ovs-ofctl", *args])
    captured = capsys.readouterr()
    return captured.out, error_line(captured.err), status


def corpus() -> list[str]:
    chooser = random.Random(SEED)
    flows = [f"{match},actions=1" for match in MATCHES]
    flows += [f"{match},actions={action}" for action in ACTIONS
              for match in ("", "tcp", "dl_vlan=3,ip", "mpls")]  # fmt: skip
    for _ in range(N_FLOWS):
        extras = chooser.sample(EXTRAS, chooser.randint(0, 3))
        actions = chooser.sample(ACTIONS, chooser.randint(1, 4))
        words = [*extras, chooser.choice(MATCHES), f"actions={','.join(actions)}"]
        flows.append(",".join(word for word in words if word))
    return flows


@pytest.mark.parametrize("options", [(), ("-O", "OpenFlow13"), ("-F", "NXM"), ("-O", "OpenFlow15")])
def test_random_flows_are_read_and_printed_alike(debian, capsys, options):
    differences = []
    for flow in corpus():
        expected = debian(*options, "parse-flow", flow)
        found = ours(capsys, *options, "parse-flow", flow)
        if found != expected:
            differences.append((flow, expected, found))
    assert differences == []


@pytest.mark.parametrize("flow", MISTAKES)
def test_a_mistake_in_a_flow_gets_the_same_answer(debian, capsys, flow):
    assert ours(capsys, "parse-flow", flow) == debian("parse-flow", flow)
