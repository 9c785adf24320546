"""Random flows and packets that are valid and have a fair chance to meet, and a switch for them."""

from __future__ import annotations

import random

SETUP = """\
bridge br0
bridge br1
port br0 p1 1
port br0 p2 2 tag=10
port br0 p3 3 trunks=10,20
port br0 p4 4 tag=10 vlan_mode=native-tagged
port br0 p5 5 tag=20 vlan_mode=native-untagged
port br0 p6 6 tag=20 other_config:priority-tags=if-nonzero
port br1 q1 1
port br1 q2 2 tag=10
patch br0 pp 9 qq
patch br1 qq 9 pp
fdb br0 p1 0 00:00:00:00:00:01
fdb br0 p2 10 00:00:00:00:00:02
fdb br0 p3 20 00:00:00:00:00:03
fdb br0 p5 20 00:00:00:00:00:04
fdb br1 q1 0 00:00:00:00:00:05
fdb br1 q2 10 00:00:00:00:00:02
fdb br0 pp 0 00:00:00:00:00:05
"""
MACS = [f"00:00:00:00:00:0{n}" for n in range(1, 7)]
BROADCAST = "ff:ff:ff:ff:ff:ff"
ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.128.0.1", "192.168.0.1", "172.16.5.4"]
PREFIXES = ["10.0.0.0/8", "10.0.0.0/24", "10.0.0.0/16", "192.168.0.0/16", "10.0.0.1",
            "172.16.0.0/12", "10.0.1.1", "10.0.0.1/255.0.0.255"]  # fmt: skip
ADDRESSES6 = ["2001:db8::1", "2001:db8::2", "2001:db8:1::1", "fe80::1"]
PREFIXES6 = ["2001:db8::/32", "2001:db8::/64", "2001:db8::1", "fe80::/10"]
PORTS = [53, 80, 81, 443, 1024, 8080, 65535]


GROUPS = """\
group_id=1,type=all,bucket=set_field:00:00:00:00:00:07->eth_dst,output:2,bucket=output:1,bucket=dec_ttl,output:5
group_id=2,type=indirect,bucket=push_vlan:0x8100,output:1
group_id=3,type=select,bucket=weight:10,output:2,bucket=weight:20,output:3
group_id=4,type=select,selection_method=hash,fields(ip_src,tcp_dst,eth_src),bucket=output:2,bucket=weight:7,output:3
group_id=5,type=select,selection_method=hash,bucket=output:1,bucket=weight:20,resubmit(,3),bucket=weight:9,group:2
group_id=6,type=ff,bucket=watch_port:77,output:2,bucket=watch_port:3,output:3
group_id=7,type=all,bucket=ct(table=2,zone=3),bucket=resubmit(,2),bucket=push_mpls:0x8847,output:4
"""
LINKS = "multipath({fields},{basis},{algorithm},{n},{arg},NXM_NX_REG{reg}[{low}..{high}])"
HASHES = ["eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst",
          "symmetric_l3"]  # fmt: skip


class Generator:
    """Random flows and packets that are valid and have a fair chance to meet."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def maybe(self, chance: float) -> bool:
        return self.rng.random() < chance

    def mac_match(self) -> str:
        return self.rng.choice([*MACS, "01:00:00:00:00:00/01:00:00:00:00:00",
                                "00:00:00:00:00:02/00:00:00:00:00:06", BROADCAST])  # fmt: skip

    def l2_match(self) -> list[str]:
        rng, words = self.rng, []
        if self.maybe(0.3):
            words.append(f"in_port={rng.choice([1, 2, 3, 4, 5, 6, 9, 'LOCAL'])}")
        if self.maybe(0.2):
            words.append(f"dl_src={self.mac_match()}")
        if self.maybe(0.25):
            words.append(f"dl_dst={self.mac_match()}")
        if self.maybe(0.25):
            words.append(rng.choice(["dl_vlan=10", "dl_vlan=20", "vlan_tci=0x1000/0x1000",
                                     "vlan_tci=0", "dl_vlan=10,dl_vlan_pcp=3",
                                     "dl_vlan_pcp=5"]))  # fmt: skip
        if self.maybe(0.15):
            words.append(f"reg{rng.randint(0, 1)}={rng.choice(['1', '0/1', '0x10/0xf0'])}")
        if self.maybe(0.05):
            words.append(f"metadata={rng.choice(['1', '0', '0x2/0x2'])}")
        return words

    def l4_match(self, proto: str) -> list[str]:
        rng, words = self.rng, []
        if proto.startswith(("tcp", "udp")):
            for field in ("tp_src", "tp_dst"):
                if self.maybe(0.35):
                    port = rng.choice(PORTS)
                    mask = rng.choice(["", "", "", "/0xfff0", "/0xff00", "/0x8000"])
                    words.append(f"{field}={port & int(mask[1:] or '0xffff', 16)}{mask}")
            if proto.startswith("tcp") and self.maybe(0.1):
                words.append(f"tcp_flags={rng.choice(['+syn', '+syn-ack', '0x10/0x10'])}")
        elif proto.startswith("icmp") and self.maybe(0.5):
            name = "icmpv6" if proto == "icmp6" else "icmp"
            words.append(f"{name}_type={rng.choice([0, 8, 128])}")
            if self.maybe(0.4):
                words.append(f"{name}_code=0")
        return words

    def ip_match(self, proto: str) -> list[str]:
        rng, words = self.rng, []
        six = proto.endswith("6") or proto == "ipv6"
        prefixes = PREFIXES6 if six else PREFIXES
        names = ("ipv6_src", "ipv6_dst") if six else ("nw_src", "nw_dst")
        words += [f"{name}={rng.choice(prefixes)}" for name in names if self.maybe(0.35)]
        if self.maybe(0.1):
            words.append(f"nw_tos={rng.choice([0, 32, 184])}")
        if self.maybe(0.1):
            words.append(f"nw_ttl={rng.choice([1, 64])}")
        if self.maybe(0.08):
            words.append(f"ip_frag={rng.choice(['no', 'first', 'later', 'yes', 'not_later'])}")
        return words

    def match(self) -> tuple[list[str], str]:
        """Words of a match, and its protocol ("" for any)."""
        rng = self.rng
        proto = self.rng.choice(["", "", "", "ip", "ip", "tcp", "tcp", "udp", "icmp", "arp",
                                 "ipv6", "tcp6", "icmp6", "0x88cc", "mpls"])  # fmt: skip
        words = self.l2_match()
        if proto == "":
            return words, proto
        if proto == "0x88cc":
            return [*words, "dl_type=0x88cc"], proto
        words.append(proto)
        if proto == "mpls":
            return [*words, *self.mpls_match()], proto
        if proto != "arp" and self.maybe(0.25):
            words.append(rng.choice(["ct_state=+new+trk", "ct_state=+est+trk", "ct_state=-trk",
                                     "ct_state=+trk,ct_zone=1", "ct_state=+trk,ct_mark=1/3",
                                     "ct_state=+trk,ct_label=1/1"]))  # fmt: skip
        if proto == "arp":
            if self.maybe(0.4):
                words.append(f"arp_op={self.rng.choice([1, 2])}")
            if self.maybe(0.4):
                words.append(f"arp_tpa={self.rng.choice(PREFIXES[:-1])}")
            return words, proto
        return [*words, *self.ip_match(proto), *self.l4_match(proto)], proto

    def mpls_match(self) -> list[str]:
        if self.maybe(0.5):
            return [self.rng.choice(["mpls_label=1", "mpls_label=2", "mpls_bos=1", "mpls_tc=0"])]
        return []

    def simple_action(self, proto: str) -> str:
        rng = self.rng
        mac = rng.choice(MACS)
        choices = [
            f"output:{rng.choice([1, 2, 3, 4, 5, 6, 9, 'LOCAL', 77])}", "IN_PORT",
            f"mod_dl_src:{mac}", f"mod_dl_dst:{mac}", f"mod_vlan_vid:{rng.choice([10, 20, 30])}",
            f"mod_vlan_pcp:{rng.choice([0, 3, 7])}", "strip_vlan",
            f"set_field:{mac}/ff:ff:00:00:00:ff->eth_dst",
            f"load:{rng.randint(0, 255)}->NXM_NX_REG{rng.randint(0, 1)}[]",
            f"load:{rng.randint(0, 15)}->NXM_NX_REG0[4..7]",
            "move:NXM_OF_ETH_SRC[0..15]->NXM_NX_REG1[0..15]",
            "move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[]",
            "move:NXM_NX_REG0[0..7]->NXM_OF_ETH_SRC[8..15]",
            "push_vlan:0x8100", "note:01.02.03", "output:NXM_NX_REG0[0..3]",
        ]  # fmt: skip
        if proto in ("ip", "tcp", "udp", "icmp"):
            address = rng.choice(ADDRESSES)
            choices += [f"mod_nw_src:{address}", f"mod_nw_dst:{address}", "dec_ttl",
                        f"mod_nw_tos:{rng.choice([0, 32, 184])}",
                        "set_field:10.9.0.0/255.255.0.0->ip_dst",
                        "move:NXM_OF_IP_SRC[]->NXM_NX_REG1[]",
                        f"mod_nw_ttl:{rng.choice([1, 33])}"] * 2  # fmt: skip
        if proto in ("ipv6", "tcp6"):
            choices += [f"set_field:{rng.choice(ADDRESSES6)}->ipv6_dst", "dec_ttl"] * 2  # fmt: skip
        if proto in ("tcp", "tcp6"):
            choices += [
                f"mod_tp_src:{rng.choice(PORTS)}",
                f"set_field:{rng.choice(PORTS)}->tcp_dst",
            ] * 2
        if proto == "udp":
            choices += [f"mod_tp_dst:{rng.choice(PORTS)}"] * 3
        if proto == "arp":
            choices += ["set_field:2->arp_op", f"set_field:{mac}->arp_sha",
                        "move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[]"]  # fmt: skip
        return rng.choice(choices)

    def link_action(self) -> str:
        """A choice among links, or a group."""
        rng = self.rng
        kind = rng.choice(["multipath", "bundle", "bundle_load", "group"])
        fields, basis = rng.choice(HASHES), rng.randint(0, 99)
        if kind == "group":
            return f"group:{rng.randint(1, 8)}"
        if kind == "multipath":
            algorithm = rng.choice(["modulo_n", "hash_threshold", "hrw", "iter_hash"])
            return LINKS.format(fields=fields, basis=basis, algorithm=algorithm, arg=0,
                                n=rng.choice([1, 2, 7, 70]), reg=rng.randint(0, 1),
                                low=rng.choice([0, 4]), high=15)  # fmt: skip
        members = ",".join(str(rng.choice([1, 2, 3, 5, 77])) for _ in range(rng.randint(1, 4)))
        algorithm = rng.choice(["hrw", "hrw", "active_backup"])
        into = "NXM_NX_REG1[]," if kind == "bundle_load" else ""
        return f"{kind}({fields},{basis},{algorithm},ofport,{into}members:{members})"

    def ct_action(self, proto: str) -> str:
        """Through the connection tracker."""
        rng, words = self.rng, []
        if self.maybe(0.5):
            words.append("commit")
            if self.maybe(0.3):
                words.append("force")
            if self.maybe(0.4):
                words.append(rng.choice(["exec(set_field:0x1->ct_mark)",
                                         "exec(load:5->NXM_NX_CT_MARK[4..7],"
                                         "set_field:0x3/0x7->ct_label)",
                                         "exec(move:NXM_NX_REG0[]->NXM_NX_CT_MARK[])",
                                         ]))  # fmt: skip
            if self.maybe(0.4) and not proto.endswith("6") and proto != "ipv6":
                words.append(rng.choice(["nat(src=10.9.9.1)", "nat(dst=10.9.9.1-10.9.9.4:80)",
                                         "nat(src=10.9.9.9:1000-1999,random)"]))  # fmt: skip
        elif self.maybe(0.2):
            words.append("nat")
        if self.maybe(0.7):
            words.append(f"table={rng.randint(1, 3)}")
        words.append(rng.choice(["zone=1", "zone=NXM_NX_REG0[0..15]", "zone=NXM_NX_CT_ZONE[]",
                                 "zone=2"]))  # fmt: skip
        text = f"ct({','.join(words)})"
        return f"clone({text},output:{rng.randint(1, 6)})" if self.maybe(0.2) else text

    def deep_action(self, proto: str) -> str:
        """Labels, connections, links: what may need the packet to come back."""
        rng = self.rng
        if proto == "mpls":
            return rng.choice(["pop_mpls:0x0800", "pop_mpls:0x8847", "dec_mpls_ttl",
                               "set_field:9->mpls_label", "set_mpls_ttl:7", "push_mpls:0x8847",
                               "set_field:3->mpls_tc"])  # fmt: skip
        if proto in ("ip", "tcp", "udp", "icmp", "ipv6", "tcp6", "icmp6") and self.maybe(0.6):
            return self.ct_action(proto)
        if self.maybe(0.2):
            return rng.choice(["push_mpls:0x8847", "ct_clear",
                               "push_mpls:0x8847,set_field:5->mpls_label"])  # fmt: skip
        return self.link_action()

    def actions(self, table: int, proto: str) -> str:
        rng = self.rng
        words = [self.simple_action(proto) for _ in range(rng.randint(0, 3))]
        if self.maybe(0.25):
            words.append(self.deep_action(proto))
        # What may leave the table, or several packets of it.
        for _ in range(rng.randint(0, 2)):
            words.append(rng.choice(["NORMAL", "NORMAL", "FLOOD", "ALL", "CONTROLLER:100",
                                     "resubmit(,1)", "resubmit(,2)", "resubmit(,3)",
                                     f"resubmit({rng.randint(1, 6)},{rng.randint(1, 3)})",
                                     f"output:{rng.randint(1, 6)}",
                                     "clone(mod_dl_src:00:00:00:00:00:06,output:1)"]))  # fmt: skip
            if self.maybe(0.4):
                words.append(self.simple_action(proto))
        if self.maybe(0.15):
            inner = ",".join(
                {self.set_action(proto) for _ in range(2)} | {f"output:{rng.randint(1, 6)}"}
            )
            words.append(f"write_actions({inner})")
        if table < 3 and self.maybe(0.3):
            words.append(f"goto_table:{rng.randint(table + 1, 3)}")
        return ",".join(words) or "drop"

    def set_action(self, proto: str) -> str:
        if proto in ("ip", "tcp", "udp"):
            return self.rng.choice(["dec_ttl", "set_field:10.7.7.7->ip_src"])
        return f"set_field:{self.rng.choice(MACS)}->eth_src"

    def flow(self, table: int) -> str:
        words, proto = self.match()
        text = ",".join(
            [f"table={table},priority={self.rng.choice([1, 2, 3, 10, 100, 1000])}", *words]
        )
        if self.maybe(0.1):
            text += f",cookie={self.rng.randint(1, 0xFFFF):#x}"
        return f"{text} actions={self.actions(table, proto)}"

    def conjunction(self, table: int) -> list[str]:
        """The flows of one or two conjunctions that share clauses, and what follows from them."""
        rng = self.rng
        n_clauses, ids = rng.choice([2, 2, 3]), rng.sample(range(1, 9), rng.choice([1, 1, 2]))
        proto = rng.choice(["ip", "tcp", "tcp", "udp", "ipv6", ""])
        high, low = rng.choice([(10, 10), (10, 10), (100, 3)])
        flows = []
        for _ in range(rng.randint(3, 9)):
            words = [*self.l2_match(), *([proto] if proto else [])]
            if proto:
                words += [*self.ip_match(proto), *self.l4_match(proto)]
            numbers = [rng.randint(1, n_clauses) for _ in range(rng.choice([1, 1, 2, 3]))]
            parts = sorted({f"conjunction({rng.choice(ids)},{n}/{n_clauses})" for n in numbers})
            if self.maybe(0.1):
                parts.append("note:01.02")
            # Lists of fields that are too long miss; a clause with few words is met more often.
            if self.maybe(0.7):
                words = rng.sample(words, min(len(words), rng.randint(1, 2)))
            if proto and proto not in words:
                words.insert(0, proto)
            head = f"table={table},priority={rng.choice([high, high, low])}"
            flows.append(f"{','.join([head, *words])} actions={','.join(parts)}")
        for conj_id in ids:
            words = [f"table={table},priority={rng.choice([1, 10, 100])},conj_id={conj_id}"]
            if proto and self.maybe(0.6):
                words.append(proto)
            if self.maybe(0.2):
                words += self.l2_match()
            flows.append(f"{','.join(words)} actions={self.actions(table, proto)}")
        return flows

    def flows(self) -> list[str]:
        flows = [self.flow(table) for table in range(4) for _ in range(self.rng.randint(3, 14))]
        for table in range(4):
            if self.maybe(0.5):
                flows += self.conjunction(table)
        return [*flows, f"table=0,priority=0 actions={self.rng.choice(['NORMAL', 'resubmit(,1)'])}"]

    def packet(self) -> str:
        rng = self.rng
        proto = rng.choice(["tcp", "tcp", "tcp", "udp", "icmp", "arp", "tcp6", "icmp6", "other",
                            "mpls"])  # fmt: skip
        words = [f"in_port={rng.choice([1, 1, 2, 3, 4, 5, 6, 9, 'LOCAL'])}",
                 f"dl_src={rng.choice(MACS)}",
                 f"dl_dst={rng.choice([*MACS, BROADCAST, '01:80:c2:00:00:00'])}"]  # fmt: skip
        if self.maybe(0.4):
            words.append(f"dl_vlan={rng.choice([10, 20, 30])},dl_vlan_pcp={rng.choice([0, 3, 5])}")
        if proto == "other":
            return ",".join([*words, f"dl_type={rng.choice(['0x88cc', '0x1234'])}"])
        words.append(proto)
        if proto == "mpls":
            return ",".join([*words, f"mpls_label={rng.randint(1, 3)}",
                             f"mpls_ttl={rng.choice([1, 2, 64])}",
                             f"mpls_bos={rng.choice([0, 1, 1])}"])  # fmt: skip
        if proto == "arp":
            words += [
                f"arp_op={rng.choice([1, 2, 3])}",
                f"arp_spa={rng.choice(ADDRESSES)}",
                f"arp_tpa={rng.choice(ADDRESSES)}",
                f"arp_sha={rng.choice(MACS)}",
            ]
            return ",".join(words)
        six = proto.endswith("6")
        addresses = ADDRESSES6 if six else ADDRESSES
        names = ("ipv6_src", "ipv6_dst") if six else ("nw_src", "nw_dst")
        words += [f"{name}={rng.choice(addresses)}" for name in names]
        words.append(f"nw_ttl={rng.choice([1, 2, 64])}")
        words.append(f"nw_tos={rng.choice([0, 32])}")
        if proto.startswith("icmp"):
            name = "icmpv6" if six else "icmp"
            return ",".join([*words, f"{name}_type={rng.choice([0, 8, 128, 135])}"])
        if self.maybe(0.1):
            return ",".join([*words, f"ip_frag={rng.choice(['first', 'later'])}"])
        transport = proto.rstrip("6")
        words += [f"{transport}_{end}={rng.choice(PORTS)}" for end in ("src", "dst")]
        if proto.startswith("tcp"):
            words.append(f"tcp_flags={rng.choice(['0x2', '0x10', '0x12'])}")
        return ",".join(words)
