"""Matches as text, made from the table of fields: every field by all its names, with values that
are right, odd and wrong."""

from __future__ import annotations

import random

from netloom.flow.fields import FIELDS, Field

#: What a flow must say before a field with such a prerequisite.
BEFORE = {
    "-": "", "ct": "ip,ct_state=+trk+est,", "eth": "", "vlan": "dl_vlan=5,", "mpls": "mpls,",
    "ipv4": "ip,", "ipv6": "ipv6,", "ip": "ip,", "arp": "arp,", "nsh": "eth_type=0x894f,",
    "tcp": "tcp,", "udp": "udp,", "sctp": "sctp,", "icmp": "icmp,", "icmp6": "icmp6,",
    "nd": "icmp6,icmp_type=135,icmp_code=0,", "nd_sol": "icmp6,icmp_type=135,icmp_code=0,",
    "nd_adv": "icmp6,icmp_type=136,icmp_code=0,",
}  # fmt: skip
#: Registers that Open vSwitch before 3.7 lacks.
LATE = {f"reg{n}" for n in range(16, 32)} | {f"xreg{n}" for n in range(8, 16)}
LATE |= {f"xxreg{n}" for n in range(4, 8)}
WORDS = [
    "0", "1", "0/0", "-1", "", "x", "0x", "1/", "/1", "0xfffffffffffffffffffffffffffffffff",
    "1.2.3.4", "1.2.3.4/8", "1.2.3.0/255.0.255.0", "1:2:3:4:5:6", "fe80::1", "fe80::/10",
    "1:2:3:4:5:6/ff:ff:00:00:00:00", "::1/ffff::", "LOCAL", "in_port", "+syn", "+trk-new",
    "first", "yes", "not_later", "none", "7/7/7", "5 ", "(1,0x800)", "ns=1,type=0x800",
]  # fmt: skip
PARTS = ["[0]=1", "[0..3]=5", "[]=1", "[3..1]=1", "[0..200]=1", "[1..2]=9", "[x]=1", "[0=1",
         "[0..]=1"]  # fmt: skip


def field_values(field: Field, chance: random.Random) -> list[str]:
    """Values for `field`, not all of them good."""
    value, mask = (chance.getrandbits(min(field.bits, 64)) for _ in range(2))
    return [
        *WORDS, hex(value), str(value), f"{value:#x}/{mask:#x}", f"{value & mask:#x}/{mask:#x}",
        hex((1 << field.bits) - 1), hex(1 << field.bits),
    ]  # fmt: skip


def field_matches(seed: int, *, skip: tuple[str, ...] = ()) -> list[str]:
    """Matches of each field, except those whose names begin with one of `skip`."""
    chance = random.Random(seed)
    found = []
    for field in FIELDS:
        if field.dynamic or field.name in LATE or field.name.startswith(skip):
            continue
        before = BEFORE[field.prerequisite]
        names = {field.name, *(code.name for code in field.codes)}
        for name in sorted(names):
            values = field_values(field, chance)
            if name != field.name:
                values = chance.sample(values, 6)
            found += [f"{before}{name}={value}" for value in values]
            found += [f"{before}{name}{part}" for part in PARTS]
        found += [f"{field.name}=1", before + field.name, f"{before}{field.name}:1",
                  f"{before}{field.name}=1,{field.name}=0"]  # fmt: skip
    return found
