"""Good texts of `ovs-ofctl` (flows, groups, meters, packets and others), and what chance makes of
them: words that are gone, doubled, exchanged, out of range or unknown, and parentheses that do
not match."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

_WORD = re.compile(r"[A-Za-z0-9_]+|.", re.DOTALL)
#: What numbers become: at the edges of fields of 1 to 128 bits, and what is hardly a number.
_NUMBERS = (
    "0", "1", "-1", "7", "8", "63", "64", "65", "128", "255", "256", "1024", "4095", "4096",
    "65279", "65280", "65281", "65528", "65533", "65534", "65535", "65536", "0xffffff00",
    "0xfffffffe", "4294967295", "4294967296", "0xffffffffffffffff", "18446744073709551616",
    "0x1ffffffffffffffff", "0x100000000000000000000000000000000", "0x", "0xg", "1.5", "1e3",
    "010", "08", "5s", "+3", " 4", "1.2.3.4", "1.2.3.256", "::1", "fe80::1", "00:01:02:03:04:05",
    "00:01:02:03:04", "0b1", "NaN",
)  # fmt: skip
_WORDS = (
    "foo", "all", "any", "none", "ALL", "ANY", "NONE", "LOCAL", "local", "in_port", "IN_PORT",
    "controller", "p1", "drop", "table", "table_id", "ip", "ipv6", "tcp", "arp", "mpls", "actions",
    "action", "apply_actions", "write_actions", "clear_actions", "priority", "cookie", "out_port",
    "out_group", "reg0", "reg0[]", "reg0[0..3]", "reg0[40]", "NXM_NX_REG0[]", "NXM_OF_IP_SRC[]",
    "eth_src", "dl_src", "vlan_tci", "tun_metadata0", "metadata", "ct_state", "ct_label", "xxreg0",
    "xreg1", "tcp_dst", "nw_src", "ipv6_src", "pkt_mark", "actset_output", "conj_id",
    "bucket", "type", "weight", "watch_port", "watch_group", "select", "indirect", "group_id",
    "command_bucket_id", "bucket_id", "selection_method", "fields", "meter", "bands", "rate",
    "burst_size", "kbps", "pktps", "dscp_remark", "prec_level", "stats", "resubmit", "learn", "ct",
    "nat", "commit", "clone", "note", "set_field", "load", "move", "output", "group", "goto_table",
    "write_metadata", "multipath", "bundle", "sample", "conjunction", "encap", "decap", "exit",
    "packet", "data", "send_flow_rem", "idle_timeout", "hard_timeout", "importance", "duration",
    "n_packets", "out", "cookie_mask", "add", "delete", "modify", "delete_strict", "-trk", "+est",
)  # fmt: skip
_MARKS = (",", "=", "(", ")", ":", "/", "->", "[", "]", "..", " ", ";", "{", "}", "-", "+",
          "|", "()", "(,)", "\t", "#", "'", "\\")  # fmt: skip


class Mutator:
    """Chance of a seed."""

    def __init__(self, seed: int, texts: Sequence[str]) -> None:
        self.chance = random.Random(seed)
        self.texts = texts
        self._ways: tuple[Callable[[list[str]], None], ...] = (
            self._drop, self._drop_some, self._double, self._exchange, self._number, self._number,
            self._word, self._mark, self._insert_mark, self._insert_mark, self._cut, self._splice,
            self._open, self._close, self._upper,
        )  # fmt: skip

    def __iter__(self) -> Iterator[str]:
        """Texts without end, each with one to three mistakes."""
        while True:
            words = _WORD.findall(self.chance.choice(self.texts))
            for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
                if words:
                    self.chance.choice(self._ways)(words)
            text = "".join(words)
            if "\0" not in text and not text.startswith("-"):
                yield text

    def _at(self, words: list[str]) -> int:
        return self.chance.randrange(len(words))

    def _drop(self, words: list[str]) -> None:
        del words[self._at(words)]

    def _drop_some(self, words: list[str]) -> None:
        at = self._at(words)
        del words[at : at + self.chance.randint(2, 5)]

    def _double(self, words: list[str]) -> None:
        at = self._at(words)
        end = at + self.chance.randint(1, 4)
        words[end:end] = words[at:end]

    def _exchange(self, words: list[str]) -> None:
        one, other = self._at(words), self._at(words)
        words[one], words[other] = words[other], words[one]

    def _number(self, words: list[str]) -> None:
        numbers = [at for at, word in enumerate(words) if word[0].isdigit()]
        at = self.chance.choice(numbers) if numbers else self._at(words)
        words[at] = self.chance.choice(_NUMBERS)

    def _word(self, words: list[str]) -> None:
        names = [at for at, word in enumerate(words) if word[0].isalpha()]
        at = self.chance.choice(names) if names else self._at(words)
        words[at] = self.chance.choice(_WORDS)

    def _mark(self, words: list[str]) -> None:
        marks = [at for at, word in enumerate(words) if not word[0].isalnum()]
        at = self.chance.choice(marks) if marks else self._at(words)
        words[at] = self.chance.choice(_MARKS)

    def _insert_mark(self, words: list[str]) -> None:
        words.insert(self._at(words), self.chance.choice(_MARKS))

    def _open(self, words: list[str]) -> None:
        words.insert(self._at(words), "(")

    def _close(self, words: list[str]) -> None:
        words.insert(self._at(words), ")")

    def _cut(self, words: list[str]) -> None:
        at = self._at(words)
        if self.chance.random() < 0.5:
            del words[at:]
        else:
            del words[:at]

    def _splice(self, words: list[str]) -> None:
        other = _WORD.findall(self.chance.choice(self.texts))
        start = self._at(other)
        at = self._at(words)
        words[at:at] = other[start : start + self.chance.randint(1, 8)]

    def _upper(self, words: list[str]) -> None:
        at = self._at(words)
        words[at] = words[at].swapcase()


#: Good groups, of what each of their words may say.
GROUPS = (
    "group_id=1,type=all,bucket=output:1,bucket=output:2",
    "group_id=2,type=select,bucket=weight:5,output:1,bucket=weight=0,actions=output:2",
    "group_id=3,type=select,selection_method=hash,fields(ip_src,tcp_dst=0xff),bucket=bucket_id:5,1",
    "group_id=4,type=select,selection_method=dp_hash,selection_method_param=7,bucket=1",
    "group_id=5,type=ff,bucket=watch_port:1,1,bucket=watch_group:3,watch_port:2,actions=2",
    "group_id=6,type=indirect,bucket=set_field:5->reg0,resubmit(,3)",
    "type=fast_failover,group_id=7,bucket=watch_port=p1,drop",
    "group_id=8,type=all,bucket=bucket_id=1,actions=ct(commit,zone=5),clone(output:2)",
    "group_id=9,type=select,selection_method=hash,fields=eth_dst,bucket=group:4",
    "group_id=0xfffffeff,type=all,bucket=bucket_id:0xfffffeff,mod_vlan_vid:5,1",
    "group_id=10,type=select,selection_method=hash,fields(eth_dst,ip_dst,ipv6_src=ffff::),bucket=1",
    "group_id=11,command_bucket_id=5,bucket=bucket_id=7,1",
    "group_id=12",
    "group_id=all",
)
METERS = (
    "meter=1,kbps,bands=type=drop,rate=100",
    "meter=2 pktps burst stats bands=type=drop,rate=5,burst_size=7",
    "meter=3,kbps,burst,bands=type=dscp_remark,rate=5,prec_level=3,burst_size=9 type=drop rate=8",
    "meter=controller,pktps,bands=type=drop,rate=9",
    "meter=slowpath,pktps,band=type=drop,rate=9",
    "meter=0xffff0000,kbps,bands=type=drop,rate=0xffffffff",
)
PACKET_OUTS = (
    "in_port=1,packet=505400000001505400000002080045000014000000004011000001020304050607080000,"
    "actions=output:2",
    "in_port=controller packet=00112233 actions=set_field:5->reg0,resubmit(,1)",
    "in_port=LOCAL,reg0=5,metadata=7,tun_id=3,packet=ffffffffffff0000000000020806,actions=normal",
    "in_port=3,vlan_tci=0x1005,ct_mark=5,packet=ff,actions=group:1,learn(table=1,in_port)",
)
TLV_MAPS = (
    "{class=0xffff,type=0,len=4}->tun_metadata0",
    "{class=0,type=1,len=124}->tun_metadata63,{class=1,type=0xff,len=8}->tun_metadata5",
    "{class=5,type=6,len=12}->tun_metadata7",
)
CT_TUPLES = (
    "ct_nw_src=10.1.1.1,ct_nw_dst=10.1.1.2,ct_nw_proto=6,ct_tp_src=1,ct_tp_dst=2",
    "ct_nw_src=10.1.1.1,ct_nw_dst=10.1.1.2,ct_nw_proto=1,icmp_type=8,icmp_code=0,icmp_id=10",
    "ct_ipv6_src=fc00::1,ct_ipv6_dst=fc00::2,ct_nw_proto=58,icmp_type=128,icmp_code=0,icmp_id=1",
    "zone=5",
)
WATCHES = (
    "watch:", "watch:!initial,!add,!delete,!modify,!actions,!own", "watch:out_port=2,table=3",
    "watch:!own,table=5,ip,nw_src=10.0.0.0/8,tcp", "watch:out_group=7,in_port=3",
    "65534", "invalid_ttl", "64,invalid_ttl",
)  # fmt: skip
FILTERS = (
    "table=0,in_port=3", "cookie=5/-1,ip", "out_port=1", "out_group=2,tcp,tp_dst=80",
    "table=3,priority=7,arp", "ipv6,ipv6_src=fe80::/64,cookie=0x10/0xf0,out_port=LOCAL",
    "dl_vlan=5,dl_type=0x800,nw_tos=4", "vlan_tci=0x1000/0x1000,udp6", "ct_state=+trk-new,ip",
)  # fmt: skip
COMMANDS = ("add", "modify", "modify_strict", "delete", "delete_strict")
BUNDLES = (
    "flow add in_port=1,actions=2", "flow delete_strict priority=5,ip", "flow modify actions=drop",
    "group add group_id=1,type=all,bucket=1", "group delete group_id=1", "flow delete",
    "group add_or_mod group_id=2,type=select,bucket=weight:5,1", "in_port=3,actions=4",
    "group insert_bucket group_id=1,command_bucket_id=last,bucket=bucket_id=3,2",
    "group remove_bucket group_id=1,command_bucket_id=3", "group modify group_id=1,type=indirect",
    "packet-out in_port=1,packet=505400000001505400000002080045000014000000004011,actions=2",
)  # fmt: skip
