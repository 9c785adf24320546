"""Actions as text, made by chance from the tables of fields: every keyword of ovs-actions(7)."""

from __future__ import annotations

import random

from netloom.flow.fields import FIELDS, Field

#: Registers that Open vSwitch before 3.7 lacks.
LATE = {f"reg{n}" for n in range(16, 32)} | {f"xreg{n}" for n in range(8, 16)}
LATE |= {f"xxreg{n}" for n in range(4, 8)}
#: Fields that any packet has.
EVERYWHERE = [
    field
    for field in FIELDS
    if field.prerequisite == "-" and not field.dynamic and field.name not in LATE
]
READABLE = [field for field in EVERYWHERE if field.codes]
WRITABLE = [field for field in READABLE if field.writable and not field.name.startswith("ct_")]
SHORT = [field for field in WRITABLE if not field.codes[0].vendor and field.form == "hex"]
PORTS = ["1", "7", "65279", "LOCAL", "IN_PORT"]
HASHES = ["eth_src", "symmetric_l4", "symmetric_l3l4", "symmetric_l3l4+udp", "nw_src", "nw_dst",
          "symmetric_l3"]  # fmt: skip


class Maker:
    """Makes actions; equal seeds give equal actions."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def number(self, bits: int) -> str:
        value = self.chance.getrandbits(self.chance.randint(1, bits))
        return self.chance.choice([str(value), hex(value)])

    def part(self, fields: list[Field], n_bits: int = 0) -> str:
        chance = self.chance
        field = chance.choice([field for field in fields if field.width >= n_bits])
        size = n_bits or chance.randint(1, min(field.width, 64))
        low = chance.randint(0, field.width - size)
        name = chance.choice([field.name, field.codes[-1].name])
        if size == field.width:
            return f"{name}[]"
        return f"{name}[{low}]" if size == 1 else f"{name}[{low}..{low + size - 1}]"

    def choose(self, *words: str) -> str:
        return self.chance.choice(words)

    def options(self, *words: str) -> str:
        """Some of `words`, in their order."""
        return ",".join(word for word in words if self.chance.random() < 0.5)

    def make(self, keyword: str) -> str:
        return getattr(self, f"_{keyword}")()

    def _move(self) -> str:
        size = self.chance.randint(1, 32)
        return f"move:{self.part(READABLE, size)}->{self.part(WRITABLE, size)}"

    def _load(self) -> str:
        size = self.chance.randint(1, 32)
        return f"load:{self.number(size)}->{self.part(SHORT, size)}"

    def _set_field(self) -> str:
        field = self.chance.choice([field for field in WRITABLE if field.form == "hex"])
        value = self.chance.getrandbits(field.bits)
        mask = self.chance.getrandbits(field.bits) or 1
        text = f"{value & mask:#x}/{mask:#x}" if field.maskable and mask & 1 else hex(value)
        return f"set_field:{text}->{field.name}"

    def _push(self) -> str:
        return f"push:{self.part(READABLE)}"

    def _pop(self) -> str:
        return f"pop:{self.part(WRITABLE)}"

    def _output(self) -> str:
        return self.choose(
            f"output:{self.part(READABLE)}",
            f"output:{self.choose(*PORTS)}",
            f"output(port={self.choose(*PORTS)},max_len={self.chance.randint(14, 99)})",
        )

    def _controller(self) -> str:
        return "controller(%s)" % self.options(  # noqa: UP031
            f"max_len={self.chance.randint(0, 65535)}", f"id={self.chance.randint(0, 65535)}",
            f"reason={self.choose('no_match', 'action', 'invalid_ttl')}", "pause",
            f"userdata={self.chance.randbytes(self.chance.randint(1, 20)).hex('.')}",
            f"meter_id={self.chance.randint(1, 99)}",
        )  # fmt: skip

    def _resubmit(self) -> str:
        port, table = self.choose("", *PORTS), str(self.chance.randint(0, 254))
        return f"resubmit({port},{table}{self.choose('', ',ct')})"

    def _multipath(self) -> str:
        links = self.chance.randint(1, 65536)
        return (
            f"multipath({self.choose(*HASHES)},{self.chance.randint(0, 65535)},"
            f"{self.choose('modulo_n', 'hash_threshold', 'hrw', 'iter_hash')},{links},"
            f"{self.chance.randint(0, 65535)},{self.part(SHORT, 17)})"
        )

    def _bundle(self) -> str:
        members = ",".join(self.choose(*PORTS) for _ in range(self.chance.randint(0, 5)))
        head = f"{self.choose(*HASHES)},{self.chance.randint(0, 65535)}"
        head += f",{self.choose('active_backup', 'hrw')},ofport"
        if self.chance.random() < 0.5:
            return f"bundle({head},members:{members or 1})"
        size = self.chance.randint(16, 32)
        return f"bundle_load({head},{self.part(SHORT, size)},members:{members or 2})"

    def _learn(self) -> str:
        words = [self.options(
            f"table={self.chance.randint(0, 254)}", f"idle_timeout={self.chance.randint(0, 65535)}",
            f"hard_timeout={self.chance.randint(0, 65535)}", f"cookie={self.number(64)}",
            f"priority={self.chance.randint(0, 65535)}", "send_flow_rem", "delete_learned",
            f"fin_idle_timeout={self.chance.randint(0, 65535)}",
            f"limit={self.chance.randint(0, 999)}",
            f"fin_hard_timeout={self.chance.randint(0, 65535)}",
            f"result_dst={self.part(WRITABLE, 1)}",
        )]  # fmt: skip
        for _ in range(self.chance.randint(0, 5)):
            size = self.chance.randint(1, 32)
            words.append(self.choose(
                f"load:{self.chance.getrandbits(size):#x}->{self.part(SHORT, size)}",
                f"load:{self.part(SHORT, size)}->{self.part(SHORT, size)}",
                f"output:{self.part(SHORT, 16)}", self.part(SHORT), "eth_src=eth_dst",
                f"{self.part(SHORT, size)}={self.part(SHORT, size)}", "in_port=LOCAL",
                f"reg3={self.number(32)}", "eth_dst=1:2:3:4:5:6", "eth_type=0x800,nw_src=1.2.3.4",
                "NXM_OF_VLAN_TCI[0..11]", "in_port=5", "metadata=0x1234567890",
            ))  # fmt: skip
        return f"learn({','.join(word for word in words if word)})"

    def _ct(self) -> str:
        ports = self.choose("", ":80", ":80-90")
        where = self.choose("", f"=1.2.3.4{ports}", f"=1.2.3.4-1.2.3.9{ports}")
        if where:
            where += self.choose("", ",persistent", ",hash", ",random", ",persistent,random")
        zone = self.choose(str(self.chance.randint(0, 65535)), self.part(SHORT, 16))
        rest = self.options(
            "force", f"table={self.chance.randint(0, 254)}", f"zone={zone}", "alg=ftp",
            self.choose("nat", f"nat({self.choose('src', 'dst')}{where})"),
            f"exec(load:{self.chance.getrandbits(32):#x}->NXM_NX_CT_MARK[],"
            "move:reg1[]->ct_label[32..63])",
        )  # fmt: skip
        return f"ct(commit,{rest})"

    def _sample(self) -> str:
        rest = self.options(
            f"collector_set_id={self.number(32)}", f"obs_domain_id={self.number(32)}",
            f"obs_point_id={self.number(32)}", f"sampling_port={self.choose(*PORTS)}",
            self.choose("ingress", "egress"),
        )  # fmt: skip
        return f"sample(probability={self.chance.randint(1, 65535)},{rest})"

    def _fin_timeout(self) -> str:
        words = self.options(
            f"idle_timeout={self.chance.randint(0, 65535)}",
            f"hard_timeout={self.chance.randint(0, 65535)}",
        )
        return f"fin_timeout({words})"

    def _check_pkt_larger(self) -> str:
        return f"check_pkt_larger({self.chance.randint(0, 65535)})->{self.part(WRITABLE, 1)}"

    def _encap(self) -> str:
        if self.chance.random() < 0.3:
            return f"encap({self.choose('ethernet', 'nsh', 'mpls', 'mpls_mc', 'nsh(md_type=1)')})"
        tlvs = "".join(
            f",tlv({self.chance.randint(0, 65535):#x},{self.chance.randint(0, 255)},"
            # Texts have no zeros in front, so values with them do not survive.
            f"0x{self.chance.randint(16, 255):02x}"
            f"{self.chance.randbytes(self.chance.randint(0, 11)).hex()})"
            for _ in range(self.chance.randint(0, 3))
        )
        return f"encap(nsh(md_type=2{tlvs}))"

    def _decap(self) -> str:
        return self.choose("decap", "decap()", "decap(packet_type(ns=0,type=0))",
                           "decap(packet_type(ns=1,type=0x894f))")  # fmt: skip

    def _delete_field(self) -> str:
        return f"delete_field:tun_metadata{self.chance.randint(0, 63)}"

    def _option(self) -> str:
        number = self.chance.randint(0, 63)
        return self.choose(f"set_field:{self.chance.getrandbits(200):#x}->tun_metadata{number}",
                           f"move:tun_metadata{number}[0..31]->reg1[]",
                           f"load:0x15->tun_metadata{number}[3..9]")  # fmt: skip

    def _ct_clear(self) -> str:
        return "ct_clear"

    def _conjunction(self) -> str:
        count = self.chance.randint(2, 64)
        conj_id = self.chance.getrandbits(32)
        return f"conjunction({conj_id},{self.chance.randint(1, count)}/{count})"

    def _note(self) -> str:
        return f"note:{self.chance.randbytes(self.chance.randint(0, 30)).hex('.')}"

    def _clone(self) -> str:
        return f"clone({self.make(self.choose('learn', 'ct', 'move', 'sample', 'encap'))})"

    def _write_actions(self) -> str:
        return f"write_actions({self.make(self.choose('move', 'load', 'set_field', 'ct'))})"


KEYWORDS = sorted(name[1:] for name in vars(Maker) if name[0] == "_" and name[1] != "_")
