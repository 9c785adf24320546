"""Database rows -> one frozen `Wish`: reads, applies defaults, judges.

What must hold: any contents of the database give a wish. A bad value never spoils its neighbours:
the row falls back to the default, or its interface is refused with a text for the row's `error`
column, and `problems` names row and column for the log. The wish depends on nothing but the rows;
so the same rows give an equal wish, in whatever order they come.

Rules and defaults are those of ovs-vswitchd.conf.db(5); texts of complaints that Open vSwitch has
are Open vSwitch's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from netloom.base.paths import rundir
from netloom.base.record import replace
from netloom.flow.key import MAX_VLANS
from netloom.netdev.tunnel_config import TYPES
from netloom.ofproto.settings import (
    ALL_VERSIONS,
    BridgeSettings,
    BundleSettings,
    ControllerSettings,
    ExportSettings,
    McastSettings,
    MirrorSettings,
    TableSettings,
)
from netloom.ovsdb.row import Row
from netloom.protocols.lldp import LldpSettings
from netloom.vswitchd.addresses import bridge_default_mac, parse_datapath_id, parse_mac
from netloom.vswitchd.export_rules import ExportRules
from netloom.vswitchd.local_networks import read_local_network
from netloom.vswitchd.mirror_rules import MirrorRules
from netloom.vswitchd.monitor_rules import read_auto_attach, read_bfd, read_cfm
from netloom.vswitchd.offload_rules import read_offload
from netloom.vswitchd.port_rules import PortRules
from netloom.vswitchd.qos_rules import read_policing, read_qos
from netloom.vswitchd.table_rules import TableRules
from netloom.vswitchd.tree_rules import TreeRules
from netloom.vswitchd.unsupported import complaints
from netloom.vswitchd.wish import (
    BridgeWish,
    InterfaceWish,
    LimitsWish,
    LocalNetwork,
    Pairs,
    PortWish,
    Wish,
)
from netloom.vswitchd.zone_rules import read_zones

#: Names that the data paths keep for themselves: of their own devices, and beginnings of those of
#: their ports for tunnels.
RESERVED_NAMES = frozenset({"ovs-netdev", "ovs-dummy", "ovs-system"})
RESERVED_PREFIXES = tuple(sorted({row.port_name for row in TYPES.values()}))
VERSIONS = {f"OpenFlow1{minor}": minor + 1 for minor in range(6)}
#: Statistics are not written more often than this.
MIN_STATS_INTERVAL_MS = 5_000
#: Keys about threads of data paths that do not begin with "pmd-".
_POLLING_KEYS = frozenset(
    {"emc-enable", "emc-insert-inv-prob", "smc-enable", "tx-flush-interval", "tx-steering"}
)


class Replica(Protocol):
    """What is read: an `Idl`, or a stand-in."""

    def rows(self, table: str) -> list[Row]: ...

    def refs(self, row: Row, column: str) -> list[Row]: ...


#: Takes (level, module, text).
Complain = Callable[[str, str, str], None]


#: Packet-ins that may wait for a controller, and how many that may be.
_QUEUE_SIZE, _MAX_QUEUE_SIZE = 100, 512
#: The class of service of OpenFlow, and the greatest there is.
_DSCP, _MAX_DSCP = 48, 63


def read_wish(replica: Replica) -> Wish:
    """The wish that the rows state; an empty one if the database has no Open_vSwitch row."""
    return _Reader(replica).read()


def integer(values: dict[str, str], key: str, default: int) -> int:
    """A decimal integer of a map column; `default` if it is missing or none."""
    try:
        return int(values.get(key, ""), 10)
    except ValueError:
        return default


def boolean(values: dict[str, str], key: str, default: bool = False) -> bool:
    """ "true" or "false" of a map column; anything else is `default`."""
    text = values.get(key, "").lower()
    return text == "true" if text in ("true", "false") else default


def pairs(values: dict[str, str]) -> Pairs:
    return tuple(sorted(values.items()))


def _limits(config: dict[str, str]) -> LimitsWish:
    default = LimitsWish()
    n_vlans = integer(config, "vlan-limit", default.n_vlans)
    return LimitsWish(
        n_vlans=min(n_vlans, MAX_VLANS) if n_vlans > 0 else MAX_VLANS,
        max_idle_ms=integer(config, "max-idle", default.max_idle_ms),
        n_flows=integer(config, "flow-limit", default.n_flows),
        has_shortcuts=boolean(config, "veth-shortcut", default.has_shortcuts),
        is_restoring=boolean(config, "flow-restore-wait"),
        restore_timeout_s=max(0, integer(config, "flow-restore-timeout", 0)),
        explicit_sampled_drops=boolean(config, "explicit-sampled-drops"),
        polling=_polling(config),
        leaves_segments=boolean(config, "userspace-tso-enable"),
    )


def _polling(config: dict[str, str]) -> Pairs:
    """What is about threads of data paths."""
    return pairs({k: v for k, v in config.items() if k.startswith("pmd-") or k in _POLLING_KEYS})


class _Reader:
    """One reading of the whole database."""

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._problems: dict[tuple[str, str, str], None] = {}
        self._bundle_timeout_ms = 10_000
        self._exports: ExportRules | None = None
        self._in_band_managers: tuple[str, ...] = ()
        #: What ports with LLDP say of the switch.
        self._lldp = LldpSettings()
        #: The bridge and port that each interface is used by.
        self._users: dict[str, tuple[str, str]] = {}

    def _complain(self, level: str, module: str, text: str) -> None:
        self._problems[(level, module, text)] = None

    def read(self) -> Wish:
        roots = self._replica.rows("Open_vSwitch")
        if not roots:
            return Wish()
        root = roots[0]
        idle_s = integer(root.mapping("other_config"), "bundle-idle-timeout", 10)
        self._bundle_timeout_ms = max(idle_s, 1) * 1_000
        managers = self._replica.refs(root, "manager_options")
        self._exports = ExportRules(
            self._replica.refs,
            self._replica.rows("Flow_Sample_Collector_Set"),
        )
        self._in_band_managers = tuple(
            sorted(m.text("target") for m in managers if _connection_mode(m) == "in-band")
        )
        self._lldp = read_auto_attach(self._replica, root)
        for text in complaints("Open_vSwitch", root):
            self._complain("warn", "bridge", text)
        bridges = tuple(
            self._bridge(row)
            for row in sorted(self._replica.refs(root, "bridges"), key=lambda row: row.text("name"))
            if self._is_valid_bridge_name(row.text("name"))
        )
        interval_ms = integer(root.mapping("other_config"), "stats-update-interval", 0)
        return Wish(
            bridges=bridges,
            zones=tuple(read_zones(self._replica.rows, root)),
            limits=replace(
                _limits(root.mapping("other_config")),
                offload=read_offload(root.mapping("other_config"), self._replica.rows("Interface")),
            ),
            stats_interval_ms=max(interval_ms, MIN_STATS_INTERVAL_MS),
            mappings=self._lldp.mappings,
            tells_of_machine=boolean(root.mapping("other_config"), "enable-statistics"),
            problems=tuple(self._problems),
        )

    def _is_valid_bridge_name(self, name: str) -> bool:
        # The name becomes part of a file name: the management socket's.
        if "/" in name or "\\" in name or not name:
            self._complain("warn", "bridge", f'ignoring bridge with invalid name "{name}"')
            return False
        return True

    # -- bridges -------------------------------------------------------------------------

    def _bridge(self, row: Row) -> BridgeWish:
        name = row.text("name")
        config = row.mapping("other_config")
        for text in complaints("Bridge", row):
            self._complain("warn", "bridge", f"bridge {name}: {text}")
        controllers = self._controllers(name, row)
        ports = self._ports(name, row, bool(controllers))
        settings = self._settings(name, row, controllers)
        return BridgeWish(
            name=name,
            datapath_type=row.text("datapath_type") or "system",
            settings=replace(settings, mirrors=self._mirrors(name, row, ports)),
            ports=ports,
            default_mac=bridge_default_mac(row.uuid),
            datapath_id=parse_datapath_id(config.get("datapath-id", "")),
            hwaddr=self._hwaddr(name, config),
            local_networks=self._local_networks(name, row),
        )

    def _mirrors(
        self, name: str, row: Row, ports: tuple[PortWish, ...]
    ) -> tuple[MirrorSettings, ...]:
        rules = MirrorRules(
            name,
            frozenset(port.name for port in ports),
            self._replica.refs,
            self._complain,
        )
        return rules.read(self._replica.refs(row, "mirrors"))

    def _settings(
        self, name: str, row: Row, controllers: tuple[ControllerSettings, ...]
    ) -> BridgeSettings:
        config = row.mapping("other_config")
        protocols = frozenset(VERSIONS[text] for text in row.texts("protocols") if text in VERSIONS)
        ageing = self._number("bridge", name, config, "mac-aging-time", 300)
        size = self._number("bridge", name, config, "mac-table-size", 8192)
        queue = integer(config, "in-band-queue", -1)
        trees = TreeRules(row, lambda level, text: self._complain(level, "bridge", text))
        stp, rstp = trees.read()
        return BridgeSettings(
            name=name,
            datapath_id=0,
            fail_mode="secure" if row.opt_text("fail_mode") == "secure" else "standalone",
            protocols=protocols or ALL_VERSIONS,
            controllers=controllers,
            flood_vlans=frozenset(row.ints("flood_vlans")),
            mac_aging_time_s=min(max(ageing, 15), 3600),
            mac_table_size=min(max(size, 10), 1_000_000),
            forward_bpdu=boolean(config, "forward-bpdu"),
            dp_desc=config.get("dp-desc", ""),
            dp_sn=config.get("dp-sn", ""),
            tables=self._tables(name, row),
            in_band_queue=queue if queue >= 0 else -1,
            disable_in_band=boolean(config, "disable-in-band"),
            in_band_managers=self._in_band_managers,
            bundle_idle_timeout_ms=self._bundle_timeout_ms,
            mcast=_mcast(row),
            stp=stp,
            rstp=rstp,
            exports=self._exports.read(row) if self._exports is not None else ExportSettings(),
        )

    def _tables(self, name: str, row: Row) -> tuple[TableSettings, ...]:
        numbers: Any = row.get("flow_tables") or {}
        if not numbers:
            return ()
        rows = {table.uuid: table for table in self._replica.rows("Flow_Table")}
        rules = TableRules(
            name,
            lambda text: self._complain("warn", "bridge", text),
            lambda text: self._complain("info", "bridge", text),
        )
        return rules.read((number, rows[uuid]) for number, uuid in numbers.items() if uuid in rows)

    def _number(self, kind: str, name: str, config: dict[str, str], key: str, default: int) -> int:
        value = integer(config, key, -1)
        if value < 0 and key in config:
            self._complain(
                "info",
                "bridge",
                f'{kind} {name}: other_config:{key}: "{config[key]}" is no number, using {default}',
            )
        return value if value >= 0 else default

    def _hwaddr(self, name: str, config: dict[str, str]) -> str:
        text = config.get("hwaddr")
        if text is None:
            return ""
        mac = parse_mac(text)
        level, problem = "err", ""
        if mac is None:
            level, problem = "info", f'ignoring bad other_config:hwaddr "{text}"'
        elif mac[0] & 1:
            problem = f"cannot set MAC address to multicast address {mac.hex(':')}"
        elif not any(mac):
            problem = "cannot set MAC address to zero"
        if mac is None or problem:
            self._complain(level, "bridge", f"bridge {name}: {problem}")
            return ""
        return mac.hex(":")

    # -- controllers ---------------------------------------------------------------------

    def _controllers(self, name: str, row: Row) -> tuple[ControllerSettings, ...]:
        found: dict[str, ControllerSettings] = {}
        default_size = integer(row.mapping("other_config"), "controller-queue-size", _QUEUE_SIZE)
        if not 1 <= default_size <= _MAX_QUEUE_SIZE:
            default_size = _QUEUE_SIZE
        for controller in self._replica.refs(row, "controller"):
            target = controller.text("target")
            problem = _controller_problem(name, target)
            if problem:
                self._complain(*problem)
                continue
            queue_size = controller.opt_int("controller_queue_size") or default_size
            found[target] = replace(_controller_settings(controller, target), queue_size=queue_size)
        return tuple(found[target] for target in sorted(found))

    def _local_networks(self, name: str, row: Row) -> tuple[LocalNetwork, ...]:
        rows = sorted(self._replica.refs(row, "controller"), key=lambda row: row.text("target"))
        found = [
            read_local_network(controller)
            for controller in rows
            if not _controller_problem(name, controller.text("target"))
        ]
        return tuple(network for network in found if network is not None)

    # -- ports and interfaces ------------------------------------------------------------

    def _ports(self, bridge: str, row: Row, has_controllers: bool) -> tuple[PortWish, ...]:
        rows = sorted(self._replica.refs(row, "ports"), key=lambda row: row.text("name"))
        # The port of the bridge's own name must win its interface, whatever others claim it.
        rows.sort(key=lambda row: row.text("name") != bridge)
        found = (self._port(bridge, port, bool(row.ints("flood_vlans"))) for port in rows)
        ports = [port for port in found if port is not None]
        if has_controllers and all(port.name != bridge for port in ports):
            self._complain(
                "warn", "bridge", f"bridge {bridge}: no port named {bridge}, synthesizing one"
            )
            ports.append(_synthetic_local_port(bridge))
        return tuple(sorted(ports, key=lambda port: port.name))

    def _port(self, bridge: str, row: Row, has_flood_vlans: bool) -> PortWish | None:
        name = row.text("name")
        for text in complaints("Port", row):
            self._complain("warn", "bridge", f"port {name}: {text}")
        members = [
            member
            for member in sorted(
                self._replica.refs(row, "interfaces"), key=lambda row: row.text("name")
            )
            if self._claim(bridge, name, member.text("name"))
        ]
        if not members:
            return None
        qos = read_qos(self._replica.refs(row, "qos"), self._replica.rows("Queue"))
        interfaces = tuple(replace(self._interface(bridge, member), qos=qos) for member in members)
        if len(interfaces) > 1:
            self._judge_bond(row, has_flood_vlans)
        mac = parse_mac(row.opt_text("mac") or "")
        return PortWish(
            name=name,
            interfaces=interfaces,
            bundle=self._bundle(row, tuple(interface.name for interface in interfaces)),
            mac=mac.hex(":") if mac is not None else "",
            fake_bridge=row.flag("fake_bridge"),
        )

    def _claim(self, bridge: str, port: str, interface: str) -> bool:
        other = self._users.setdefault(interface, (bridge, port))
        if other == (bridge, port):
            return True
        self._complain(
            "warn",
            "bridge",
            f"bridge {bridge}: interface {interface} of port {port} is already used by "
            f"port {other[1]} of bridge {other[0]}",
        )
        return False

    def _judge_bond(self, row: Row, has_flood_vlans: bool) -> None:
        mode = row.opt_text("bond_mode")
        if mode is None:
            self._complain("warn", "bridge", f"port {row.text('name')}: Using the default "
                           "bond_mode active-backup. Note that in previous versions, the default "
                           "bond_mode was balance-slb")  # fmt: skip
        if mode == "balance-slb" and has_flood_vlans:
            self._complain("warn", "bridge", f"port {row.text('name')}: SLB bonds are incompatible "
                           "with flood_vlans, please use another bond type or disable "
                           "flood_vlans")  # fmt: skip
        if row.mapping("other_config").get("bond-detect-mode") == "miimon":
            self._complain("warn", "bridge", f"port {row.text('name')}: unsupported "
                           "bond-detect-mode miimon, defaulting to carrier")  # fmt: skip

    def _bundle(self, row: Row, members: tuple[str, ...]) -> BundleSettings:
        rules = PortRules(row)
        settings = rules.bundle(members)
        for text in rules.complaints:
            self._complain("warn", "bridge", f"port {rules.name}: {text}")
        return settings

    def _interface(self, bridge: str, row: Row) -> InterfaceWish:
        name = row.text("name")
        for text in complaints("Interface", row):
            self._complain("warn", "bridge", f"interface {name}: {text}")
        requested = row.opt_int("ofport_request") or 0
        wish = InterfaceWish(
            name=name,
            type="internal" if name == bridge else row.text("type") or "system",
            options=pairs(row.mapping("options")),
            ofport=requested or _usable_ofport(row.opt_int("ofport") or 0),
            ofport_requested=bool(requested),
            mtu=row.opt_int("mtu_request") or 0,
            cfm=read_cfm(row.opt_int("cfm_mpid"), row.mapping("other_config")),
            bfd=read_bfd(row.mapping("bfd")),
            lacp=_lacp_member(row.mapping("other_config")),
            policing=read_policing(row),
            polling=_polling(row.mapping("other_config")),
            lldp=self._lldp if row.mapping("lldp").get("enable") == "true" else None,
        )
        if name == bridge:
            wish = replace(wish, ofport=0, ofport_requested=False)
        if name in RESERVED_NAMES or name.startswith(RESERVED_PREFIXES):
            text = f"could not create interface {name}, name is reserved"
            self._complain("warn", "bridge", text)
            # The log alone says why.
            return replace(wish, error="")
        wish = replace(wish, mac=self._interface_mac(bridge, row, wish.type))
        if wish.type == "patch":
            return self._patch(replace(wish, mac=bridge_default_mac(row.uuid)))
        return wish

    def _interface_mac(self, bridge: str, row: Row, type_: str) -> str:
        """Interface.mac, where it may be set: on internal ports other than the local one."""
        name, text = row.text("name"), row.opt_text("mac")
        if text is None or type_ != "internal":
            return ""
        mac = parse_mac(text)
        level, problem = "err", ""
        if mac is None:
            level, problem = "info", f'ignoring bad mac "{text}"'
        elif name == bridge:
            problem = "ignoring mac in Interface record (use Bridge record to set local port's mac)"
        elif mac[0] & 1:
            problem = "cannot set MAC to multicast address"
        if mac is None or problem:
            self._complain(level, "bridge", f"interface {name}: {problem}")
            return ""
        return mac.hex(":")

    def _patch(self, wish: InterfaceWish) -> InterfaceWish:
        options = dict(wish.options)
        peer = options.pop("peer", "")
        if options:
            error = f"{wish.name}: patch type takes only a 'peer' argument"
        elif not peer:
            error = f"{wish.name}: patch type requires valid 'peer' argument"
        elif peer == wish.name:
            error = f"{wish.name}: patch peer must not be self"
        else:
            return replace(wish, peer=peer)
        self._complain("err", "netdev_vport", error)
        self._complain(
            "warn", "netdev", f"{wish.name}: could not set configuration (Invalid argument)"
        )
        return replace(wish, error=error)


def _lacp_member(config: dict[str, str]) -> tuple[int, int, int]:
    """LACP's number, priority and key of an interface; what is out of range is not there."""
    keys = (("lacp-port-id", 0), ("lacp-port-priority", 65_535), ("lacp-aggregation-key", 0))
    values = [integer(config, key, default) for key, default in keys]
    number, priority, key = (
        value if 0 < value <= 65_535 else default
        for value, (_, default) in zip(values, keys, strict=True)
    )
    return number, priority, key


def _mcast(row: Row) -> McastSettings | None:
    """How the bridge snoops multicast groups, if it does."""
    if not row.flag("mcast_snooping_enable"):
        return None
    config = row.mapping("other_config")
    return McastSettings(
        aging_s=integer(config, "mcast-snooping-aging-time", 300),
        table_size=min(max(integer(config, "mcast-snooping-table-size", 2_048), 10), 1_000_000),
        floods_unregistered=not boolean(config, "mcast-snooping-disable-flood-unregistered"),
    )


def _usable_ofport(number: int) -> int:
    """The number that a port had when the database was last written, if one may ask for it."""
    return number if 0 < number < 0xFF00 else 0


def _synthetic_local_port(bridge: str) -> PortWish:
    """A bridge with controllers has a local port, wished for or not."""
    return PortWish(
        name=bridge,
        interfaces=(InterfaceWish(name=bridge, type="internal"),),
        bundle=BundleSettings(name=bridge, members=(bridge,)),
    )


def _controller_problem(bridge: str, target: str) -> tuple[str, str, str] | None:
    """What is wrong with a target: the database must not make the daemon touch any file it likes,
    and what is no address is no controller."""
    always = (
        f'connect to "unix:{rundir()}/{bridge}.mgmt" (which is always available without special '
        "configuration)."
    )
    kind, colon, path = target.partition(":")
    if kind == "unix" and colon:
        allowed = f"{rundir()}/"
        if "/" in path and (not path.startswith(allowed) or "/../" in path):
            return (
                "err",
                "bridge",
                f'bridge {bridge}: Not connecting to socket controller "{target}" due to '
                "possibility for remote exploit.  Instead, specify socket in permitted directory "
                f'"unix:{allowed}" or {always}',
            )
    elif kind == "punix" and colon:
        allowed = f"{rundir()}/{bridge}."
        if not path.startswith(allowed) or "/" in path.removeprefix(allowed):
            return (
                "err",
                "bridge",
                f'bridge {bridge}: Not adding Unix domain socket controller "{target}" due to '
                "possibility of overwriting local files. Instead, specify path in permitted format "
                f'"punix:{allowed}*" or {always}',
            )
    elif not colon or kind not in ("tcp", "ssl", "ptcp", "pssl"):
        return ("warn", "connmgr", f'{bridge}: unsupported controller "{target}"')
    return None


def _connection_mode(row: Row) -> str:
    """Of a Controller or Manager row."""
    return row.opt_text("connection_mode") or "in-band"


def _controller_settings(row: Row, target: str) -> ControllerSettings:
    passive = target.startswith("p")
    probe_ms = row.opt_int("inactivity_probe")
    async_messages = row.opt_flag("enable_async_messages")
    rate = row.opt_int("controller_rate_limit") or 0
    dscp = integer(row.mapping("other_config"), "dscp", _DSCP)
    return ControllerSettings(
        target=target,
        type=row.opt_text("type") or ("service" if passive else "primary"),
        max_backoff_ms=max(row.opt_int("max_backoff") or 8_000, 1_000),
        inactivity_probe_ms=5_000 if probe_ms is None else max(probe_ms, 0),
        connection_mode=_connection_mode(row),
        enable_async_messages=async_messages is not False,
        rate_limit_pps=max(rate, 0),
        burst_limit_packets=max(row.opt_int("controller_burst_limit") or 0, 0),
        dscp=dscp if 0 <= dscp <= _MAX_DSCP else _DSCP,
    )
