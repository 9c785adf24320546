"""What a tunnel interface is told: `Interface.options` -> `TunnelConfig`, and back to text.

`TYPES` is the table of tunnel types: how their shared port of a data path is called, which UDP port
they use, what their packets carry. Rules, defaults and messages are those of
ovs-vswitchd.conf.db(5), "Tunnel Options". What is merely odd is logged and ignored; what leaves
nothing to send to is an error.
"""

from __future__ import annotations

from collections.abc import Mapping

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.base.record import Record, replace
from netloom.flow.mapped import format_mapped, is_ipv4, parse_mapped
from netloom.flow.numbers import scan_integer

log = get_logger("netdev_vport")

DEFAULT_TTL = 64
LEGACY_L2, LEGACY_L3, PTAP = "legacy_l2", "legacy_l3", "ptap"
_DSCP_MASK = 0xFC
_KEYS = ("key", "in_key", "out_key")
#: Stations on the way of a packet by segment routing, at most: Open vSwitch's limit.
MAX_SEGMENTS = 6
#: Where the flow label of segment routing's outer header comes from: the inner header, nowhere, or
#: a hash. Data paths know them by these numbers, in the label's place.
SRV6_FLOW_LABELS = ("copy", "zero", "compute")


class TunnelType(Record):
    """A type of tunnel. `port_name` is that of its port of a data path, to which a `dst_port`
    (0: it has none) is added; `number` is the data path's for the type; `nw_proto` what stands in
    the outer IP header. It carries Ethernet frames (`l2`), bare IP packets (`l3`) or both."""

    name: str
    port_name: str
    number: int
    nw_proto: int
    has_dst_port: bool = False
    dst_port: int = 0
    l2: bool = True
    l3: bool = False
    has_csum: bool = False
    has_seq: bool = False
    #: Behind headers that extend IP: what is inside, by which its packets are known.
    inner_protos: tuple[int, ...] = ()

    @property
    def known_by(self) -> tuple[int, ...]:
        """The protocols that a packet of such a tunnel may have in a key."""
        return self.inner_protos or (self.nw_proto,)


TYPES: dict[str, TunnelType] = {
    row.name: row
    for row in (
        TunnelType("gre", "gre_sys", 3, 47, l3=True, has_csum=True, has_seq=True),
        TunnelType("vxlan", "vxlan_sys", 4, 17, True, 4789, has_csum=True),
        TunnelType("geneve", "genev_sys", 5, 17, True, 6081, has_csum=True),
        TunnelType("erspan", "erspan_sys", 107, 47, has_seq=True),
        TunnelType("ip6erspan", "ip6erspan_sys", 108, 47, has_seq=True),
        TunnelType("ip6gre", "ip6gre_sys", 109, 47, has_csum=True, has_seq=True),
        TunnelType("gtpu", "gtpu_sys", 110, 17, True, 2152, l2=False, l3=True),
        TunnelType("srv6", "srv6_sys", 112, 43, l2=False, l3=True, inner_protos=(4, 41)),
        TunnelType("bareudp", "udp_sys", 111, 17, True, 0, l2=False, l3=True),
    )
}
#: What tunnels over IPv6 are to a data path, where that is a type of its own.
_OVER_IPV6 = {"gre": TYPES["ip6gre"], "erspan": TYPES["ip6erspan"]}
TYPES_BY_NUMBER: dict[int, TunnelType] = {row.number: row for row in TYPES.values()}


def row_over_ipv6(row: TunnelType) -> TunnelType:
    """What a tunnel of this type over IPv6 is to a data path."""
    return _OVER_IPV6.get(row.name, row)


class TunnelConfig(Record):
    """One tunnel. Addresses are mapped (`flow.mapped`), 0 for any; a `*_flow` leaves the value to
    the flow. `in_key` is what packets must carry (0 also means none), `out_key` what they are sent
    with, `has_out_key` whether at all. `pt_mode`: does the port hold Ethernet frames (legacy_l2),
    IP packets for which Ethernet headers are made up (legacy_l3), or both (ptap)?"""

    type: str
    remote_ip: int = 0
    local_ip: int = 0
    remote_flow: bool = False
    local_flow: bool = False
    dst_port: int = 0
    in_key: int = 0
    has_in_key: bool = False
    in_key_flow: bool = False
    out_key: int = 0
    has_out_key: bool = False
    out_key_flow: bool = False
    ttl: int = DEFAULT_TTL
    ttl_inherit: bool = False
    tos: int = 0
    tos_inherit: bool = False
    dont_fragment: bool = True
    csum: bool = False
    #: Was there an option that said so, or is it the default?
    csum_given: bool = False
    seq: bool = False
    exts: frozenset[str] = frozenset()
    egress_pkt_mark: int | None = None
    pt_mode: str = LEGACY_L2
    erspan_ver: int = 0
    erspan_idx: int = 0
    erspan_dir: int = 0
    erspan_hwid: int = 0
    erspan_ver_flow: bool = False
    erspan_idx_flow: bool = False
    erspan_dir_flow: bool = False
    erspan_hwid_flow: bool = False
    #: The way of a packet by segment routing; none: straight to the remote end.
    srv6_segs: tuple[int, ...] = ()
    srv6_flowlabel: str = "copy"

    @property
    def row(self) -> TunnelType:
        """What holds for all tunnels of this type."""
        return TYPES[self.type]

    @property
    def port_name(self) -> str:
        """The name of its port of a data path, which it shares with its like."""
        row = self.row
        return f"{row.port_name}_{self.dst_port}" if row.has_dst_port else row.port_name

    def sends_csum(self, over_ipv6: bool) -> bool:
        """Do outer UDP and GRE headers get a checksum? UDP over IPv6 does unless told otherwise."""
        if self.csum_given:
            return self.csum
        return over_ipv6 and self.row.nw_proto == 17 and self.row.has_csum


def parse_tunnel_config(name: str, type_: str, options: Mapping[str, str]) -> TunnelConfig:
    """The tunnel that `options` describe. Raises ConfigError with the text for the row's `error`;
    lesser complaints are logged."""
    reader = _Reader(name, type_, dict(options))
    config = reader.read()
    if reader.complaints:
        log.warn("%s", "\n".join(reader.complaints))
    return config


class _Reader:
    def __init__(self, name: str, type_: str, options: dict[str, str]) -> None:
        self._name = name
        self._row = TYPES[type_]
        self._options = options
        self._values: dict[str, object] = {"type": type_, "dst_port": self._row.dst_port}
        self.complaints: list[str] = []

    def _complain(self, text: str) -> None:
        self.complaints.append(f"{self._name}: {text}")

    def _fail(self, text: str) -> ConfigError:
        self._complain(text)
        return ConfigError("\n".join(self.complaints))

    def read(self) -> TunnelConfig:
        for key in sorted(self._options):
            if not self._take(key, self._options[key]):
                self._complain(f"unknown {self._row.name} argument '{key}'")
        self._take_key("in_key", "in_key", "has_in_key")
        self._take_key("out_key", "out_key", "has_out_key")
        config = TunnelConfig(**self._values)  # type: ignore[arg-type]
        if not config.remote_ip and not config.remote_flow:
            raise self._fail(f"{self._row.name} type requires valid 'remote_ip' argument")
        if config.local_flow and not config.remote_flow:
            raise self._fail(
                f"{self._row.name} type requires 'remote_ip=flow' with 'local_ip=flow'"
            )
        addresses = [ip for ip in (config.remote_ip, config.local_ip) if ip]
        if len({is_ipv4(ip) for ip in addresses}) > 1:
            raise self._fail("'remote_ip' and 'local_ip' has to be of the same address family")
        return self._with_packet_type(config)

    def _with_packet_type(self, config: TunnelConfig) -> TunnelConfig:
        row = self._row
        l3 = row.l3 or "gpe" in config.exts
        mode = self._options.get("packet_type", "")
        if mode == LEGACY_L2 and not row.l2:
            raise self._wrong_mode(mode, "L2")
        if mode == LEGACY_L3 and not l3:
            raise self._wrong_mode(mode, "L3")
        if mode in (LEGACY_L2, LEGACY_L3, PTAP):
            return replace(config, pt_mode=mode)
        if mode:
            raise self._fail(f"unknown packet_type '{mode}'")
        return replace(config, pt_mode=_default_mode(row))

    def _wrong_mode(self, mode: str, layer: str) -> ConfigError:
        name = self._row.name
        if name == "vxlan":
            name = "VXLAN (without GPE)"
        return self._fail(f"{mode} configured on {name} tunnel that cannot carry {layer} traffic")

    def _take(self, key: str, value: str) -> bool:
        """Take one option; False if the type has no such option."""
        row, values = self._row, self._values
        if key in _KEYS or key == "packet_type":
            return True
        if key in ("remote_ip", "local_ip"):
            self._take_address(key, value)
        elif key == "tos":
            self._take_tos(value)
        elif key == "ttl":
            values["ttl_inherit"] = value == "inherit"
            if value != "inherit":
                values["ttl"] = _leading_number(value) & 0xFF or DEFAULT_TTL
        elif key == "dst_port" and row.has_dst_port:
            values["dst_port"] = _leading_number(value) & 0xFFFF
        elif key == "csum" and row.has_csum:
            values["csum"], values["csum_given"] = value == "true", True
        elif key == "seq" and row.has_seq:
            values["seq"] = value == "true"
        elif key == "df_default":
            values["dont_fragment"] = value != "false"
        elif key == "exts" and row.name == "vxlan":
            self._take_extensions(value)
        elif key == "egress_pkt_mark":
            values["egress_pkt_mark"] = _number(value, 4)
        elif key == "srv6_segs":
            self._take_segments(value)
        elif key == "srv6_flowlabel":
            values["srv6_flowlabel"] = value if value in SRV6_FLOW_LABELS else "copy"
        elif key.startswith("erspan_") and row.name in ("erspan", "ip6erspan"):
            return self._take_erspan(key, value)
        else:
            return key == "payload_type" and row.name == "bareudp"
        return True

    def _take_address(self, key: str, text: str) -> None:
        if text == "flow":
            self._values[f"{key.partition('_')[0]}_flow"] = True
            return
        address = parse_mapped(text)
        if address is None:
            self._complain(f"bad {self._row.name} '{key}'")
        elif key == "remote_ip" and _is_multicast(address):
            raise self._fail(f"multicast remote_ip={text} not allowed")
        else:
            self._values[key] = 0 if address == 0xFFFF << 32 else address

    def _take_tos(self, text: str) -> None:
        tos = -1 if text == "inherit" else _number(text, 8)
        if text == "inherit":
            self._values["tos_inherit"] = True
        elif tos is None or tos & _DSCP_MASK != tos:
            self._complain(f"invalid TOS {text}")
        else:
            self._values["tos"] = tos

    def _take_extensions(self, text: str) -> None:
        known = []
        for word in text.split(","):
            if word in ("gbp", "gpe"):
                known.append(word)
            elif word:
                self._complain(f"unknown extension '{word}'")
        self._values["exts"] = frozenset(known)

    def _take_segments(self, text: str) -> None:
        addresses = [parse_mapped(word) for word in text.split(",") if word]
        segments = tuple(ip for ip in addresses if ip is not None and not is_ipv4(ip))
        if not 0 < len(segments) == len(addresses) <= MAX_SEGMENTS:
            self._complain(f"bad {text} 'srv6_segs'")
        else:
            self._values["srv6_segs"] = segments

    def _take_erspan(self, key: str, text: str) -> bool:
        found = _ERSPAN.get(key)
        if found is None:
            return False
        what, base, allowed = found
        if text == "flow":
            self._values[f"{key}_flow"] = True
            if key == "erspan_ver":
                # Which of the others count depends on the version.
                self._values |= dict.fromkeys((f"{option}_flow" for option in _ERSPAN), True)
            return True
        number = _leading_number(text, base)
        if number not in allowed:
            raise self._fail(f"invalid erspan {what}: {text}")
        self._values[key] = number
        self._values[f"{key}_flow"] = False
        return True

    def _take_key(self, option: str, value: str, present: str) -> None:
        text = self._options.get(option) or self._options.get("key")
        if text is None:
            return
        self._values[present] = True
        if text == "flow":
            self._values[f"{value}_flow"] = True
        else:
            self._values[value] = _number(text, 8) or 0


#: Option -> word of its message, base of its number, allowed numbers.
_ERSPAN = {
    "erspan_ver": ("version", 10, range(1, 3)),
    "erspan_idx": ("index", 16, range(1 << 20)),
    "erspan_dir": ("direction", 10, range(2)),
    "erspan_hwid": ("hardware ID", 16, range(1 << 6)),
}


def _default_mode(row: TunnelType) -> str:
    return LEGACY_L2 if row.l2 else LEGACY_L3


def _is_multicast(address: int) -> bool:
    if is_ipv4(address):
        return address >> 28 & 0xF == 0xE
    return address >> 120 == 0xFF


def _number(text: str, n_bytes: int) -> int | None:
    """A number as C's strtoull takes it with base 0; None for something else."""
    try:
        value, rest = scan_integer(text, n_bytes)
    except ValueError:
        return None
    return None if rest else value


def _leading_number(text: str, base: int = 10) -> int:
    """The number that `text` starts with, 0 if with none: as C's strtoul and atoi have it."""
    digits = text.strip().lower()
    if base == 16:
        digits = digits.removeprefix("0x")
    end = 0
    while end < len(digits) and digits[end] in "0123456789abcdef"[:base]:
        end += 1
    return int(digits[:end] or "0", base)


def config_options(config: TunnelConfig) -> dict[str, str]:
    """What is not as usual, as options: `dpif/show` and `dpctl/show` print it, sorted."""
    row = config.row
    out: dict[str, str] = {}
    for name, address, by_flow in (
        ("remote_ip", config.remote_ip, config.remote_flow),
        ("local_ip", config.local_ip, config.local_flow),
    ):
        if address or by_flow:
            out[name] = "flow" if by_flow else format_mapped(address)
    out |= _key_options(config)
    if config.ttl_inherit or config.ttl != DEFAULT_TTL:
        out["ttl"] = "inherit" if config.ttl_inherit else str(config.ttl)
    if config.tos_inherit or config.tos:
        out["tos"] = "inherit" if config.tos_inherit else f"{config.tos:#x}"
    if row.has_dst_port and row.dst_port and config.dst_port != row.dst_port:
        out["dst_port"] = str(config.dst_port)
    if config.csum_given and (config.csum or (config.remote_ip and not is_ipv4(config.remote_ip))):
        out["csum"] = "true" if config.csum else "false"
    if config.seq:
        out["seq"] = "true"
    if not config.dont_fragment:
        out["df_default"] = "false"
    if config.pt_mode != _default_mode(row):
        out["packet_type"] = config.pt_mode
    if config.egress_pkt_mark is not None:
        out["egress_pkt_mark"] = str(config.egress_pkt_mark)
    if row.name in ("erspan", "ip6erspan"):
        out |= _erspan_options(config)
    return dict(sorted(out.items()))


def _key_options(config: TunnelConfig) -> dict[str, str]:
    if config.in_key_flow and config.out_key_flow:
        return {"key": "flow"}
    by_flow = config.in_key_flow or config.out_key_flow
    is_set = config.has_in_key and config.has_out_key and not by_flow
    if is_set and config.in_key == config.out_key:
        return {"key": str(config.in_key)}
    out = {}
    if config.has_in_key:
        out["in_key"] = "flow" if config.in_key_flow else str(config.in_key)
    if config.has_out_key:
        out["out_key"] = "flow" if config.out_key_flow else str(config.out_key)
    return out


def _erspan_options(config: TunnelConfig) -> dict[str, str]:
    if config.erspan_ver_flow:
        return dict.fromkeys(_ERSPAN, "flow")
    out = {"erspan_ver": str(config.erspan_ver)}
    if config.erspan_ver == 1:
        out["erspan_idx"] = "flow" if config.erspan_idx_flow else f"{config.erspan_idx:#x}"
    elif config.erspan_ver == 2:
        out["erspan_dir"] = "flow" if config.erspan_dir_flow else str(config.erspan_dir)
        out["erspan_hwid"] = "flow" if config.erspan_hwid_flow else f"{config.erspan_hwid:#x}"
    return out


def shared_config(config: TunnelConfig) -> TunnelConfig:
    """The port of a data path that `config` shares with its like: all that they have in common."""
    return TunnelConfig(
        config.type, dst_port=config.dst_port, exts=config.exts, pt_mode=PTAP, remote_flow=True
    )
