"""Random worlds for two switches: bridges, ports, tables, groups, meters, and packets to send.

A world is a list of lines, each of which stands for itself, so that any of them can be left out
(`tests.support.shrinking`):

    vsctl WORDS                what ovs-vsctl is told; all such lines make one call
    ofctl WORDS                a command of ovs-ofctl
    appctl WORDS               a command of the daemon, whose answer is seen
    flow BRIDGE FLOW           one flow; likewise `group` and `meter`
    trace BRIDGE FLOW [OPTION] a trace
    packet-out BRIDGE FLOW ACTIONS
    receive PORT HEX           a frame comes in

What can be chosen are tables: `{name}` in a text draws a word of that name. Everything comes from
few values, so that flows, packets and ports have a fair chance to meet.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

MACS = [f"00:00:00:00:00:0{n}" for n in range(1, 7)]
#: What `{name}` may stand for, wherever it does not depend on the world.
WORDS: dict[str, list[str]] = {
    "mac": MACS,
    "any_mac": [*MACS, "ff:ff:ff:ff:ff:ff", "01:00:5e:01:01:01", "33:33:00:00:00:01"],
    "mac_match": [*MACS, "01:00:00:00:00:00/01:00:00:00:00:00", "ff:ff:ff:ff:ff:ff",
                  "00:00:00:00:00:02/00:00:00:00:00:06", "01:00:5e:00:00:00/ff:ff:ff:80:00:00"],
    "ip": ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.128.0.1", "192.168.0.1", "172.16.5.4"],
    "ip_match": ["10.0.0.0/8", "10.0.0.0/24", "10.0.0.1", "10.0.0.2", "10.0.0.0/15",
                 "192.168.0.0/16", "10.0.0.1/255.0.0.255", "128.0.0.0/1", "0.0.0.0/1"],
    "ip6": ["2001:db8::1", "2001:db8::2", "2001:db8:1::1", "fe80::1"],
    "ip6_match": ["2001:db8::/32", "2001:db8::/64", "2001:db8::1", "fe80::/10", "::1/::1"],
    "l4": ["53", "80", "81", "443", "1024", "8080", "65535"],
    "l4_match": ["53", "80", "80", "0x50/0xfff0", "1024", "0/0x1", "0x400/0xfc00", "65535"],
    "vid": ["0", "10", "20", "30"], "pcp": ["0", "3", "5", "7"],
    "table": ["1", "2", "3", "4"], "reg": ["0", "1", "2", "7", "15"],
    "byte": ["0", "1", "7", "32", "255"], "label": ["1", "2", "3", "16", "1048575"],
    "zone": ["0", "1", "2", "NXM_NX_REG0[0..15]", "NXM_NX_CT_ZONE[]"],
    "hash": ["eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst",
             "symmetric_l3"],
    "small": ["0", "1", "2", "3", "5", "16"], "group": ["1", "2", "3", "4", "5", "6"],
    "bits": ["0..3", "4..7", "0..15", "8..23", "0..31", "31"],
    "ct_state": ["+new+trk", "+est+trk", "-trk", "+trk", "+trk+rpl", "+inv+trk", "-new+trk",
                 "+rel+trk", "+trk+dnat", "0/0x20"],
    "next_state": ["trk,new", "trk,est", "trk,est,rpl", "trk,rel", "trk,inv", "trk,new,snat"],
}  # fmt: skip

# What a flow may match on, by what the packet is.
_ANYWHERE = [
    "in_port={port}", "in_port={port}", "dl_src={mac_match}", "dl_dst={mac_match}", "dl_vlan={vid}",
    "vlan_tci=0x1000/0x1000", "vlan_tci=0", "dl_vlan_pcp={pcp}", "vlan_tci={vid}/0xfff",
    "vlan_vid=0x1000/0x1000", "dl_vlan=0xffff",
    "reg{reg}={small}", "reg{reg}={byte}/{byte}", "xreg0={small}", "xxreg1=0/0xff",
    "metadata={small}",
    "metadata=0x2/0x2", "pkt_mark={small}", "pkt_mark=1/1", "tun_id={small}", "tun_id=0/0x1",
    "tun_src={ip}", "tun_dst={ip_match}", "tun_dst=0.0.0.0", "tun_flags=-oam", "reg{reg}=0/0x1",
    "actset_output={port}", "actset_output=0", "reg0=0x10/0xf0",
]  # fmt: skip
_CONNECTION = ["ct_state={ct_state}", "ct_state=+trk,ct_zone={small}", "ct_state=+trk,ct_mark=1/3",
               "ct_mark=0", "ct_state=+est+trk,ct_label=1/1", "ct_state=-trk"]  # fmt: skip
_IP = ["nw_tos={byte}", "ip_dscp=8", "nw_ecn=0", "nw_ecn=3", "nw_ttl=64", "nw_ttl=1",
       "ip_frag=no", "ip_frag=first", "ip_frag=later", "ip_frag=yes", "ip_frag=not_later",
       *_CONNECTION]  # fmt: skip
_IP4 = ["nw_src={ip_match}", "nw_dst={ip_match}", *_IP, "nw_src={ip_match}", "nw_dst={ip_match}"]
_IP6 = ["ipv6_src={ip6_match}", "ipv6_dst={ip6_match}", "ipv6_label={small}", *_IP,
        "ipv6_src={ip6_match}", "ipv6_dst={ip6_match}"]  # fmt: skip
_PORTS = ["tp_src={l4_match}", "tp_dst={l4_match}", "tp_dst={l4_match}"]
_FLAGS = ["tcp_flags=+syn-ack", "tcp_flags=0x10/0x10", "tcp_flags=+syn", "tcp_flags=0x12"]
MATCHES: dict[str, list[str]] = {
    "": [], "ip": [*_IP4, "nw_proto=6", "nw_proto=17", "nw_proto=1", "nw_proto=2"],
    "tcp": [*_IP4, *_PORTS, *_PORTS, *_FLAGS], "udp": [*_IP4, *_PORTS, *_PORTS],
    "sctp": [*_IP4, *_PORTS], "icmp": [*_IP4, "icmp_type=8", "icmp_type=0,icmp_code=0"],
    "ipv6": [*_IP6, "nw_proto=58", "nw_proto=6"], "tcp6": [*_IP6, *_PORTS, *_FLAGS],
    "udp6": [*_IP6, *_PORTS], "icmp6": [*_IP6, "icmpv6_type=128", "icmpv6_type=135",
    "icmpv6_type=135,icmpv6_code=0"],
    "icmp6,icmpv6_type=135,icmpv6_code=0": [*_IP6, "nd_target={ip6_match}", "nd_sll={mac_match}"],
    "icmp6,icmpv6_type=136": ["nd_target={ip6_match}", "nd_tll={mac}"],
    "arp": ["arp_op=1", "arp_op=2", "arp_spa={ip_match}", "arp_tpa={ip_match}", "arp_sha={mac}",
            "arp_tha={mac_match}"],
    "rarp": ["arp_op=3"], "dl_type=0x88cc": [],
    "mpls": ["mpls_label={label}", "mpls_tc=0", "mpls_bos=1", "mpls_bos=0", "mpls_ttl=1"],
    "dl_type=0x894f": ["nsh_spi={small}", "nsh_si=255", "nsh_c1={small}", "nsh_np=1",
                       "nsh_mdtype=1", "nsh_ttl=63", "nsh_c2=0/0xff"],
}  # fmt: skip
KINDS = ["", "", "", "ip", "ip", "ip", "tcp", "tcp", "udp", "ipv6", *MATCHES]

# What a flow may do.
_OUTPUTS = [
    "output:{port}", "output:{port}", "IN_PORT", "NORMAL", "NORMAL", "FLOOD", "ALL", "LOCAL",
    "CONTROLLER:100", "controller(reason=invalid_ttl,max_len=50)", "controller(userdata=01.02)",
    "resubmit(,{table})", "resubmit(,{table})", "resubmit({port},{table})", "resubmit({port})",
    "resubmit(,{table},ct)", "output:NXM_NX_REG0[{bits}]", "output(port={port},max_len=60)",
    "clone({change},output:{port})", "clone({change},resubmit(,{table}),{change})", "drop",
    "enqueue:{port}:1", "group:{group}", "group:{group}", "exit", "clone({deep},output:{port})",
]  # fmt: skip
_CHANGES = [
    "mod_dl_src:{mac}", "mod_dl_dst:{any_mac}", "mod_vlan_vid:{vid}", "mod_vlan_pcp:{pcp}",
    "strip_vlan", "push_vlan:0x8100", "push_vlan:0x88a8",
    "set_field:{mac}/ff:ff:00:00:00:ff->eth_dst",
    "load:{byte}->NXM_NX_REG{reg}[]", "load:{small}->NXM_NX_REG0[4..7]",
    "set_field:{small}->metadata",
    "move:NXM_OF_ETH_SRC[0..15]->NXM_NX_REG1[0..15]", "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
    "move:NXM_NX_REG0[0..7]->NXM_OF_ETH_SRC[8..15]", "move:NXM_OF_IN_PORT[]->NXM_NX_REG2[0..15]",
    "move:NXM_OF_VLAN_TCI[]->NXM_NX_REG1[16..31]", "load:{small}->NXM_OF_IN_PORT[]",
    "note:01.02.03", "push:NXM_NX_REG0[{bits}]", "pop:NXM_NX_REG1[{bits}]", "push:NXM_OF_ETH_SRC[]",
    "pop:NXM_OF_ETH_DST[]", "set_queue:{small}", "pop_queue", "set_tunnel:{small}",
    "set_field:{ip}->tun_dst", "set_field:{small}->pkt_mark", "load:1->NXM_NX_PKT_MARK[3]",
    "set_field:{small}->reg{reg}", "set_field:0x70/0xf0->reg1", "set_field:{small}->xreg0",
    "set_field:0x1000/0x1000->vlan_tci", "set_field:{vid}->vlan_vid",
    "move:NXM_NX_REG0[]->NXM_NX_PKT_MARK[]",
    "move:NXM_NX_TUN_ID[0..31]->NXM_NX_REG0[]", "set_tunnel64:{small}", "load:0->NXM_OF_VLAN_TCI[]",
    "move:NXM_NX_REG{reg}[]->NXM_NX_REG{reg}[]", "set_field:{small}/0xff->xxreg1",
]  # fmt: skip
_IP_CHANGES = ["dec_ttl", "dec_ttl", "dec_ttl(1,2)", "mod_nw_ttl:{byte}", "mod_nw_tos:32",
               "mod_nw_ecn:2", "move:NXM_NX_IP_TTL[]->NXM_NX_REG0[0..7]",
               "set_field:3->nw_ecn", "load:9->OXM_OF_IP_DSCP[0..3]"]  # fmt: skip
_IP4_CHANGES = [*_IP_CHANGES, "mod_nw_src:{ip}", "mod_nw_dst:{ip}", "mod_nw_dst:{ip}",
                "set_field:10.9.0.0/255.255.0.0->ip_dst", "move:NXM_OF_IP_SRC[]->NXM_NX_REG1[]",
                "move:NXM_OF_IP_SRC[]->NXM_OF_IP_DST[]",
                "load:{byte}->NXM_OF_IP_SRC[0..7]"]  # fmt: skip
_IP6_CHANGES = [*_IP_CHANGES, "set_field:{ip6}->ipv6_dst", "set_field:{ip6}->ipv6_src",
                "set_field:::5/::f->ipv6_dst",
                "move:NXM_NX_IPV6_SRC[0..31]->NXM_NX_REG1[]"]  # fmt: skip
_TCP = ["mod_tp_src:{l4}", "mod_tp_dst:{l4}", "set_field:{l4}->tcp_dst",
        "move:NXM_OF_TCP_SRC[]->NXM_NX_REG0[0..15]", "move:NXM_OF_TCP_SRC[]->NXM_OF_TCP_DST[]",
        "load:{byte}->NXM_OF_TCP_DST[0..7]"]  # fmt: skip
_UDP = ["mod_tp_src:{l4}", "mod_tp_dst:{l4}", "set_field:{l4}->udp_src",
        "set_field:0x1f00/0xff00->udp_dst"]  # fmt: skip
CHANGES: dict[str, list[str]] = {
    "": [], "ip": _IP4_CHANGES, "tcp": [*_IP4_CHANGES, *_TCP], "udp": [*_IP4_CHANGES, *_UDP],
    "sctp": [*_IP4_CHANGES, "set_field:{l4}->sctp_dst"],
    "icmp": [*_IP4_CHANGES, "set_field:0->icmp_type", "set_field:{byte}->icmp_code"],
    "ipv6": _IP6_CHANGES, "tcp6": [*_IP6_CHANGES, *_TCP], "udp6": [*_IP6_CHANGES, *_UDP],
    "icmp6": [*_IP6_CHANGES, "set_field:129->icmpv6_type"],
    "icmp6,icmpv6_type=135,icmpv6_code=0": [
        *_IP6_CHANGES, "set_field:{ip6}->nd_target", "set_field:{mac}->nd_sll",
        "set_field:136->icmpv6_type", "set_field:1->nd_reserved", "set_field:2->nd_options_type"],
    "icmp6,icmpv6_type=136": _IP6_CHANGES,
    "arp": ["set_field:2->arp_op", "set_field:{mac}->arp_sha", "set_field:{ip}->arp_tpa",
            "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]", "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[]",
            "set_field:0.0.0.5/0.0.0.255->arp_spa"],
    "rarp": [], "dl_type=0x88cc": [],
    "mpls": ["pop_mpls:0x0800", "pop_mpls:0x8847", "dec_mpls_ttl", "set_field:9->mpls_label",
             "set_mpls_ttl:7", "push_mpls:0x8847", "set_field:3->mpls_tc", "set_mpls_label:5",
             "push_mpls:0x8848", "move:OXM_OF_MPLS_LABEL[]->NXM_NX_REG0[0..19]"],
    "dl_type=0x894f": ["decap()", "dec_nsh_ttl", "set_field:{small}->nsh_si",
                       "set_field:{small}->nsh_c1", "set_field:3->nsh_ttl",
                       "move:NXM_NX_NSH_C1[]->NXM_NX_REG0[]"],
}  # fmt: skip
_LINK = "multipath({hash},{small},{algorithm},{links},0,NXM_NX_REG{reg}[0..15])"
_DEEP = [
    _LINK, "push_mpls:0x8847", "push_mpls:0x8847,set_field:5->mpls_label", "ct_clear",
    "bundle({hash},{small},hrw,ofport,members:{port},{port},{port})", "encap(ethernet)", "decap()",
    "bundle({hash},{small},active_backup,ofport,members:{port},{port})", "encap(nsh(md_type=1))",
    "bundle_load({hash},{small},hrw,ofport,NXM_NX_REG0[0..15],members:{port},{port})",
    "check_pkt_larger({length})->NXM_NX_REG{reg}[{bit}]", "meter:{meter}",
    "sample(probability=65535,collector_set_id=1,obs_domain_id=2,obs_point_id=3)",
    "sample(probability=65535,collector_set_id=9)", "debug_recirc", "group:{group}",
    "learn({learn})", "learn({learn})", "fin_timeout(idle_timeout=5)",
    "conjunction(9,1/2)", "delete_field:tun_metadata0", "encap(mpls(ether_type=0x8847))",
]  # fmt: skip
_CT = [
    "ct(table={table},zone={zone})", "ct(zone={zone})", "ct(commit)", "ct(table={table})",
    "ct(commit,zone={zone},table={table})", "ct(commit,force,zone={zone})", "ct(nat,table={table})",
    "ct(commit,exec(set_field:{small}->ct_mark),table={table})", "ct(commit,nat(src=10.9.9.1))",
    "ct(commit,exec(load:5->NXM_NX_CT_MARK[4..7],set_field:0x3/0x7->ct_label))",
    "ct(commit,exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[]),zone={zone})",
    "ct(commit,zone=1,nat(dst=10.9.9.4:80),table={table})", "ct(nat,zone={zone},table={table})",
    "ct(commit,nat(src=10.9.9.9:1000),table={table})", "ct(commit,alg=ftp,table={table})",
    "ct(commit,zone=NXM_NX_REG0[0..15],exec(set_field:1->ct_label))", "ct_clear",
]  # fmt: skip
_LEARN = [
    "table={table},priority=50,NXM_OF_ETH_DST[]=NXM_OF_ETH_SRC[],output:NXM_OF_IN_PORT[]",
    "table={table},hard_timeout=60,NXM_OF_VLAN_TCI[0..11],load:NXM_OF_IN_PORT[]->NXM_NX_REG1[0..15]",
    "table={table},priority=7,cookie=0x5,eth_type=0x800,load:{small}->NXM_NX_REG0[{bits}]",
    "table={table},idle_timeout=9,fin_hard_timeout=2,limit=2,result_dst=NXM_NX_REG0[0],dl_src=dl_src,load:1->NXM_NX_REG2[]",
    "table={table},delete_learned,send_flow_rem,NXM_OF_IN_PORT[],dl_dst={mac},output:NXM_NX_REG0[{bits}]",
]  # fmt: skip
WORDS |= {
    "learn": _LEARN, "algorithm": ["modulo_n", "hash_threshold", "hrw", "iter_hash"],
    "links": ["1", "2", "7", "70"], "length": ["20", "60", "64", "1500"], "bit": ["0", "5", "31"],
    "meter": ["1", "2", "3"], "change": _CHANGES, "deep": _DEEP,
    # What may be in a bucket or a set of actions, too.
    "set_action": ["set_field:{mac}->eth_src", "push_vlan:0x8100", "output:{port}", "set_queue:1",
                   "set_field:{small}->metadata", "group:{group}", "strip_vlan", "dec_ttl",
                   "set_field:{ip}->ip_src", "set_field:{small}->reg0", "push_mpls:0x8847"],
    "bucket": ["output:{port}", "output:{port}", "{change},output:{port}", "resubmit(,{table})",
               "push_vlan:0x8100,output:{port}", "{change}", "ct(table={table},zone=3)", "NORMAL",
               "dec_ttl,output:{port}", "output:{port},{change},output:{port}",
               "set_field:{ip}->tun_dst,output:{port}", "push_mpls:0x8847,output:{port}"],
    "flood": ["flood", "no-flood"],
}  # fmt: skip

# What a packet may be, for a trace.
_ETHERNET = "in_port={port},dl_src={mac},dl_dst={any_mac}"
_TAGS = ["", "", "", ",dl_vlan={vid},dl_vlan_pcp={pcp}", ",dl_vlan={vid}", ",vlan_tci=0x0000"]
_METADATA = ["", "", "", "", ",metadata={small}", ",reg0={small}",
",tun_id={small},tun_src={ip},tun_dst={ip}",
             ",pkt_mark={small}", ",ct_state=trk|est,ct_zone=1,ct_mark=1"]  # fmt: skip
_IPV4 = "nw_src={ip},nw_dst={ip},nw_ttl={ttl},nw_tos={tos}"
_IPV6 = "ipv6_src={ip6},ipv6_dst={ip6},nw_ttl={ttl},nw_tos={tos}"
PACKETS = [
    f"tcp,{_IPV4},tp_src={{l4}},tp_dst={{l4}},tcp_flags={{flags}}",
    f"tcp,{_IPV4},tp_src={{l4}},tp_dst={{l4}},tcp_flags={{flags}}",
    f"udp,{_IPV4},tp_src={{l4}},tp_dst={{l4}}", f"udp,{_IPV4},tp_src={{l4}},tp_dst=4789",
    f"sctp,{_IPV4},tp_src={{l4}},tp_dst={{l4}}", f"icmp,{_IPV4},icmp_type=8",
    f"tcp,{_IPV4},nw_frag=first,tp_src=1,tp_dst=80", f"ip,nw_proto=17,{_IPV4},nw_frag=later",
    f"ip,nw_proto=2,{_IPV4}", f"ip,nw_proto=47,{_IPV4}", "ip,nw_proto=2,nw_dst=224.0.0.22",
    f"tcp6,{_IPV6},tp_src={{l4}},tp_dst={{l4}},ipv6_label={{small}}",
    f"udp6,{_IPV6},tp_src={{l4}},tp_dst={{l4}}", f"icmp6,{_IPV6},icmpv6_type=128",
    "icmp6,ipv6_src={ip6},ipv6_dst={ip6},nw_ttl=255,icmpv6_type=135,icmpv6_code=0,nd_target={ip6},nd_sll={mac}",
    "icmp6,ipv6_src={ip6},ipv6_dst={ip6},nw_ttl=255,icmpv6_type=136,icmpv6_code=0,nd_target={ip6},nd_tll={mac}",
    "arp,arp_op={op},arp_spa={ip},arp_tpa={ip},arp_sha={mac},arp_tha={mac}", "rarp,arp_op=3",
    "dl_type=0x88cc", "dl_type=0x1234",
    "mpls,mpls_label={label},mpls_ttl={ttl},mpls_bos=1,mpls_tc=0",
    "mpls,mpls_label={label},mpls_bos=0",
    "dl_type=0x894f,nsh_mdtype=1,nsh_np=1,nsh_spi={small},nsh_si=255,nsh_c1={small},nsh_ttl=63",
]  # fmt: skip
WORDS |= {"ttl": ["1", "2", "64"], "tos": ["0", "0", "32", "3"], "op": ["1", "2", "3"],
          "flags": ["0x2", "0x10", "0x12", "0x11", "0x4"]}  # fmt: skip
_OPTIONS = ["", "", "", "", " -generate", " --ct-next={next_state}",
            " --ct-next={next_state} --ct-next={next_state}"]  # fmt: skip

# What ports and bridges may be.
_VLANS = [
    "", "", "", "", " tag=10", " trunks=10,20", " tag=10 vlan_mode=native-tagged",
    " tag=0 vlan_mode=access",
    " tag=20 vlan_mode=native-untagged trunks=10,20",
    " tag=20 other_config:priority-tags=if-nonzero",
    " tag=10 other_config:priority-tags=always", " tag=20 vlan_mode=dot1q-tunnel",
    " tag=10 vlan_mode=dot1q-tunnel cvlans=10,30 other_config:qinq-ethtype=802.1q",
    " protected=true", " vlan_mode=trunk", " trunks=0",
]  # fmt: skip
_TUNNELS = [
    "type=vxlan options:remote_ip=flow options:key=flow",
    "type=vxlan options:remote_ip=1.1.2.92 options:key=5",
    "type=geneve options:remote_ip=1.1.2.92 options:key=flow",
    "type=gre options:remote_ip=1.1.2.93",
    "type=gre options:remote_ip=flow options:key=flow",
    "type=geneve options:remote_ip=1.1.2.93 options:csum=true",
    "type=vxlan options:remote_ip=1.1.2.92 options:key=3 options:tos=inherit options:ttl=inherit",
    "type=vxlan options:remote_ip=1.1.2.94 options:dst_port=4790 options:df_default=false",
]  # fmt: skip
_VERSIONS = ",".join(f"OpenFlow1{minor}" for minor in range(6))
_BRIDGE = [
    "mcast_snooping_enable=true",
    "mcast_snooping_enable=true other_config:mcast-snooping-disable-flood-unregistered=true",
    "flood_vlans=10", "other_config:forward-bpdu=true", "other_config:mac-table-size=10",
    "flood_vlans=0,20",
]  # fmt: skip
_BANDS = ["pktps,band=type=drop,rate=2", "kbps,burst,band=type=drop,rate=1,burst_size=1",
          "pktps,burst,band=type=drop,rate=1,burst_size=3",
          "kbps,band=type=drop,rate=1000"]  # fmt: skip
_MIRRORS = ["select_all=true output_port=@{a}", "select_src_port=@{b} output_port=@{a}",
            "select_dst_port=@{b} output_port=@{a}", "select_all=true output_vlan=30",
            "select_src_port=@{b} select_dst_port=@{b} output_vlan=20",
            "select_all=true select_vlan=10 output_port=@{a}",
            "select_dst_port=@{b} select_src_port=@{a} output_port=@{a} snaplen=60"]  # fmt: skip
_FIELDS = ["", "selection_method=hash,", "selection_method=hash,fields(ip_src,tcp_dst,eth_src),",
           "selection_method=dp_hash,", "selection_method=hash,fields=eth_dst,"]  # fmt: skip


class Draw(Mapping[str, str]):
    """Random words by name, for `str.format_map`."""

    def __init__(self, rng: random.Random, ports: list[str]) -> None:
        self._rng = rng
        self._words = WORDS | {"port": ports}

    def __getitem__(self, name: str) -> str:
        return self.text(self._rng.choice(self._words[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)

    def text(self, template: str) -> str:
        """`template` with its names replaced."""
        return template.format_map(self) if "{" in template else template


class Tables:
    """Flows, groups and packets of one bridge."""

    def __init__(self, rng: random.Random, bridge: str, ports: list[str]) -> None:
        self.rng = rng
        self.bridge = bridge
        self.draw = Draw(rng, [*ports, *ports, "LOCAL"])

    def _some(self, templates: list[str], most: int) -> list[str]:
        return [
            self.draw.text(self.rng.choice(templates)) for _ in range(self.rng.randint(0, most))
        ]

    def match(self, kind: str, most: int = 4) -> str:
        """What a flow matches, after its table and priority."""
        words = self._some(_ANYWHERE, 2)
        if MATCHES[kind]:
            words += self._some(MATCHES[kind], max(1, most - len(words)))
        by_field = {word.partition("=")[0]: word for word in words}
        return ",".join([*filter(None, [kind]), *by_field.values()])

    def actions(self, kind: str, table: int) -> str:
        rng = self.rng
        words = []
        for _ in range(rng.randint(1, 4)):
            pick = rng.random()
            if pick < 0.4:
                pool = _CHANGES if rng.random() < 0.4 or not CHANGES[kind] else CHANGES[kind]
            elif pick < 0.48:
                pool = _DEEP
            elif pick < 0.56 and "ip_dst" in " ".join(CHANGES[kind]) + " ipv6_dst" * ("6" in kind):
                pool = _CT
            else:
                pool = _OUTPUTS
            words.append(self.draw.text(rng.choice(pool)))
        if rng.random() < 0.12:
            inner = ",".join(self.draw["set_action"] for _ in range(rng.randint(1, 3)))
            words.append(f"write_actions({inner})")
        if rng.random() < 0.04:
            words.append("clear_actions")
        if table < 4 and rng.random() < 0.25:
            words.append(f"goto_table:{rng.randint(table + 1, 4)}")
        # Only the last instructions may be some, and only one of them.
        return ",".join(words)

    def flow(self, table: int) -> str:
        rng = self.rng
        kind = rng.choice(KINDS)
        head = f"table={table},priority={rng.choice([1, 2, 3, 10, 100, 1000])}"
        if rng.random() < 0.1:
            head += f",cookie={rng.randint(1, 0xFFFF):#x}"
        match = self.match(kind)
        return f"{head}{',' * bool(match)}{match} actions={self.actions(kind, table)}"

    def conjunction(self, table: int) -> list[str]:
        """The flows of a conjunction, and what follows from it."""
        rng = self.rng
        n, number = rng.choice([2, 2, 3]), rng.randint(1, 8)
        kind = rng.choice(["ip", "tcp", "udp", "ipv6", ""])
        flows = []
        for _ in range(rng.randint(3, 8)):
            match = self.match(kind, 2)
            part = f"conjunction({number},{rng.randint(1, n)}/{n})"
            flows.append(f"table={table},priority=20{',' * bool(match)}{match} actions={part}")
        flows.append(f"table={table},priority={rng.choice([20, 30])},conj_id={number}"
                     f" actions={self.actions('', table)}")  # fmt: skip
        return flows

    def flows(self) -> list[str]:
        rng = self.rng
        flows = [self.flow(table) for table in range(5) for _ in range(rng.randint(2, 9))]
        for table in range(4):
            if rng.random() < 0.25:
                flows += self.conjunction(table)
        flows.append(
            f"table=0,priority=0 actions={rng.choice(['NORMAL', 'resubmit(,1)', 'NORMAL'])}"
        )
        return [f"flow {self.bridge} {flow}" for flow in flows]

    def groups(self) -> list[str]:
        rng = self.rng
        lines = []
        for number in range(1, 7):
            kind = rng.choice(["all", "select", "select", "indirect", "ff"])
            n = 1 if kind == "indirect" else rng.randint(0, 3)
            options = rng.choice(_FIELDS) if kind == "select" else ""
            text = f"group_id={number},type={kind},{options}".rstrip(",")
            for _ in range(n):
                weight = f"weight={rng.choice([0, 1, 10, 200])}," if kind == "select" else ""
                watch = f"watch_port={self.draw['port']}," if kind == "ff" else ""
                text += f",bucket={weight}{watch}actions={self.draw['bucket']}"
            lines.append(f"group {self.bridge} {text}")
        return lines

    def packet(self) -> str:
        rng = self.rng
        text = _ETHERNET + rng.choice(_TAGS) + "," + rng.choice(PACKETS) + rng.choice(_METADATA)
        return self.draw.text(text)

    def trace(self) -> str:
        if self.rng.random() < 0.06:
            actions = self.draw.text(
                ",".join([self.rng.choice(_CHANGES), self.rng.choice(_OUTPUTS)])
            )
            return f"packet-out {self.bridge} {self.packet()} {actions}"
        options = self.draw.text(self.rng.choice(_OPTIONS))
        return f"trace {self.bridge} {self.packet()}{options}"


class World:
    """All of one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.bridges: dict[str, list[str]] = {}
        #: The dummies that frames can come in by.
        self.devices: list[str] = []

    def lines(self, n_traces: int = 25) -> list[str]:
        """The whole world; what comes in (`receive`) is for the caller to add."""
        rng = self.rng
        lines = [f"vsctl set Open_vSwitch . other_config:vlan-limit={rng.choice([0, 1, 2, 2])}"]
        after: list[str] = []
        for number in range(rng.choice([1, 2, 2, 3])):
            lines += self._bridge(number)
        names = list(self.bridges)
        # The headers of tunnels lead to the first bridge, which must not lead back.
        apart = len(names) > 1 and rng.random() < 0.5
        if apart:
            lines += self._tunnels(names[1])
        for first, second in zip(names[apart:], names[apart + 1 :], strict=False):
            lines += self._patch(first, second)
        for name, ports in self.bridges.items():
            tables = Tables(rng, name, [*ports])
            lines += self._mirrors(name) if rng.random() < 0.3 else []
            after += [f"meter {name} meter={n},{rng.choice(_BANDS)}"
                      for n in (1, 2, 3)]  # fmt: skip
            after += tables.groups() + tables.flows()
            if "21" in ports:
                # Which member is active first is left to chance.
                after.append(f"appctl bond/set-active-member bond{name[2:]} m{name[2:]}1")
            if rng.random() < 0.15:
                mode = rng.choice(["drop", "nx-match", "normal"])
                after.append(f"ofctl set-frags {name} {mode}")
            if rng.random() < 0.2:
                port = rng.choice(ports[:3])
                word = rng.choice(["no-flood", "no-forward", "no-receive", "no-packet-in"])
                after.append(f"ofctl -OOpenFlow10 mod-port {name} {port} {word}")
        for mac in rng.sample(MACS, 2):
            where = f"{rng.choice(self.devices)} {rng.choice([0, 10, 20])}"
            after.append(f"appctl fdb/add br0 {where} {mac}")
        traced = [Tables(rng, name, ports) for name, ports in self.bridges.items()]
        # The first bridge has most of the ports.
        after += [rng.choice([traced[0], *traced]).trace() for _ in range(n_traces)]
        return lines + after

    def _bridge(self, number: int) -> list[str]:
        rng, name = self.rng, f"br{number}"
        lines = [f"vsctl add-br {name} -- set bridge {name} datapath_type=dummy fail-mode=secure "
                 f"other-config:hwaddr=aa:55:aa:55:00:0{number} "
                 f"protocols={_VERSIONS}"]  # fmt: skip
        if rng.random() < 0.3:
            lines.append(f"vsctl set bridge {name} {rng.choice(_BRIDGE)}")
        ports = []
        for n in range(1, rng.randint(3, 6) + 1):
            device = f"{'pqs'[number]}{n}"
            self.devices.append(device)
            ports.append(str(n))
            lines.append(f"vsctl add-port {name} {device}{rng.choice(_VLANS)}"
                         f" -- set interface {device} type=dummy ofport_request={n}")  # fmt: skip
        if rng.random() < 0.25:
            lines += self._bond(name, number)
            ports += ["21", "22"]
        self.bridges[name] = ports
        return lines

    def _tunnels(self, bridge: str) -> list[str]:
        lines = []
        for n, options in enumerate(self.rng.sample(_TUNNELS, self.rng.randint(1, 3)), 31):
            self.bridges[bridge].append(str(n))
            lines.append(f"vsctl add-port {bridge} t{n} -- set interface t{n} {options}"
                         f" ofport_request={n}")  # fmt: skip
        return lines

    def _bond(self, bridge: str, number: int) -> list[str]:
        """An active-backup one: which member another gives a hash to at first is left to chance."""
        rng, members = self.rng, [f"m{number}{n}" for n in (1, 2)]
        self.devices += members
        sets = " -- ".join(f"set interface {member} type=dummy ofport_request={n}"
                           for n, member in enumerate(members, 21))  # fmt: skip
        return [f"vsctl add-bond {bridge} bond{number} {' '.join(members)}{rng.choice(_VLANS)}"
                f" -- {sets}"]  # fmt: skip

    def _patch(self, first: str, second: str) -> list[str]:
        """Both ends of a pair of patch ports."""
        lines = []
        for here, there, number in ((first, second, "11"), (second, first, "12")):
            self.bridges[here].append(number)
            vlan = self.rng.choice(_VLANS) if self.rng.random() < 0.3 else ""
            name, peer = f"{here}-{there}", f"{there}-{here}"
            lines.append(f"vsctl add-port {here} {name}{vlan} -- set interface {name} type=patch"
                         f" options:peer={peer} ofport_request={number}")  # fmt: skip
        return lines

    def _mirrors(self, bridge: str) -> list[str]:
        number = "pqs"[int(bridge[2:])]
        lines = []
        for n in range(self.rng.choice([1, 1, 2])):
            a, b = self.rng.sample([f"{number}{i}" for i in (1, 2, 3)], 2)
            options = self.rng.choice(_MIRRORS).format(a=f"{a}-{n}", b=f"{b}-{n}")
            lines.append(f"vsctl --id=@{a}-{n} get port {a} -- --id=@{b}-{n} get port {b}"
                         f" -- --id=@{bridge}m{n} create mirror name={bridge}m{n} {options}"
                         f" -- add bridge {bridge} mirrors @{bridge}m{n}")  # fmt: skip
        return lines
