"""What a bridge, a port, a controller can be told, as frozen values.

`vswitchd.desired` builds these from database rows; `Ofproto` takes them. Setting the same value
twice changes nothing. Names, units and defaults are those of ovs-vswitchd.conf.db(5).
"""

from __future__ import annotations

from netloom.base.record import Record
from netloom.flow.match import Match
from netloom.netdev.qos import FREE, Policing
from netloom.openflow.actions import Subfield
from netloom.protocols.bfd import BfdSettings
from netloom.protocols.bond import BondSettings
from netloom.protocols.cfm import CfmSettings
from netloom.protocols.lacp import LacpSettings
from netloom.protocols.lldp import LldpSettings
from netloom.protocols.rstp_values import RstpPortSettings, RstpSettings
from netloom.telemetry.ipfix import IpfixSettings
from netloom.telemetry.netflow import NetflowSettings
from netloom.telemetry.sflow import SflowSettings

#: OpenFlow wire versions: 0x01 is 1.0, 0x06 is 1.5.
ALL_VERSIONS = frozenset(range(0x01, 0x07))


class StpPortSettings(Record):
    """How a port takes part in STP; `number` 0: any, `cost` 0: that of its speed."""

    number: int = 0
    priority: int = 128
    cost: int = 0


class StpSettings(Record):
    """STP of a bridge; `system_id` 0: the bridge's own address."""

    system_id: int = 0
    priority: int = 32_768
    hello_ms: int = 2_000
    max_age_ms: int = 20_000
    forward_delay_ms: int = 15_000

    @property
    def bridge_id(self) -> int:
        """Priority and address, as STP compares them."""
        return self.priority << 48 | self.system_id


class BundleSettings(Record):
    """A Port row: a group of OpenFlow ports that VLANs, bonds and mirrors treat as one.

    `vlan_mode` is "access", "trunk", "native-tagged", "native-untagged" or "dot1q-tunnel", never
    empty (the caller applies the rule of the Port table: access if there is a tag, else trunk).
    `tag` is -1 for none. `trunks` and `cvlans` empty mean all. `priority_tags` is "no-tag",
    "if-nonzero" or "always". `members` are interface names."""

    name: str
    members: tuple[str, ...]
    vlan_mode: str = "trunk"
    tag: int = -1
    trunks: frozenset[int] = frozenset()
    cvlans: frozenset[int] = frozenset()
    qinq_ethtype: int = 0x88A8
    priority_tags: str = "no-tag"
    protected: bool = False
    #: Does it get all multicast packets, or all reports, of a bridge that snoops?
    #: None: it has one member.
    bond: BondSettings | None = None
    #: None: it does not speak LACP.
    lacp: LacpSettings | None = None
    mcast_flood: bool = False
    mcast_flood_reports: bool = False
    #: None: it takes no part in a spanning tree.
    stp: StpPortSettings | None = StpPortSettings()
    rstp: RstpPortSettings | None = RstpPortSettings()
    #: other_config, as sorted pairs, for the parts that read their own keys (bond, LACP).
    other_config: tuple[tuple[str, str], ...] = ()

    @property
    def networks(self) -> tuple[object, ...]:
        """What decides who is behind the ports, and in which VLAN; what was learned holds as long
        as it stays."""
        vlans = (self.vlan_mode, self.tag, self.trunks, self.cvlans, self.qinq_ethtype)
        return *vlans, self.priority_tags, self.protected


class ControllerSettings(Record):
    """A Controller row, or the local management listener of a bridge."""

    target: str
    #: "primary" or "service" (`Controller.type`).
    type: str = "primary"
    max_backoff_ms: int = 8_000
    inactivity_probe_ms: int = 5_000
    #: "in-band" or "out-of-band".
    connection_mode: str = "out-of-band"
    enable_async_messages: bool = True
    rate_limit_pps: int = 0
    burst_limit_packets: int = 0
    #: Packet-ins that may wait for a controller that does not read.
    queue_size: int = 100
    #: The class of service of its packets.
    dscp: int = 48


class MirrorSettings(Record):
    """A Mirror row. `id` names it for ever; ports are named by their bundles. `vlans` empty: all.
    Exactly one of `output_port` and `output_vlan` is set ("" and 0 for not). `snaplen` is 0 for
    whole packets."""

    id: str
    name: str
    sources: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    vlans: frozenset[int] = frozenset()
    output_port: str = ""
    output_vlan: int = 0
    snaplen: int = 0
    filter: Match | None = None


class TableSettings(Record):
    """A Flow_Table row. `flow_limit` -1: none. `groups` are the fields by which rules are divided
    when one is to be evicted. `prefixes` None: the usual fields."""

    table_id: int
    name: str = ""
    flow_limit: int = -1
    evict: bool = False
    groups: tuple[Subfield, ...] = ()
    prefixes: tuple[str, ...] | None = None


class ZoneSettings(Record):
    """A connection tracking zone: seconds of silence by the names of CT_Timeout_Policy (() for the
    defaults), and connections that it may have (-1: nothing is said of it)."""

    zone: int
    timeouts_s: tuple[tuple[str, int], ...] = ()
    limit: int = -1


class McastSettings(Record):
    """How a bridge snoops multicast groups."""

    aging_s: int = 300
    table_size: int = 2_048
    floods_unregistered: bool = True


class ExportSettings(Record):
    """The NetFlow, sFlow and IPFIX rows of a bridge, and those of its collector sets for `sample`
    actions; `local_groups` are the ids of sets that are sampled on this machine, with the group."""

    netflow: NetflowSettings | None = None
    sflow: SflowSettings | None = None
    ipfix: IpfixSettings | None = None
    collector_sets: tuple[IpfixSettings, ...] = ()
    local_groups: tuple[tuple[int, int], ...] = ()


class BridgeSettings(Record):
    """A Bridge row, less its ports."""

    name: str
    datapath_id: int
    #: "standalone" or "secure".
    fail_mode: str = "standalone"
    protocols: frozenset[int] = ALL_VERSIONS
    controllers: tuple[ControllerSettings, ...] = ()
    flood_vlans: frozenset[int] = frozenset()
    mac_aging_time_s: int = 300
    mac_table_size: int = 8192
    forward_bpdu: bool = False
    mirrors: tuple[MirrorSettings, ...] = ()
    #: Host name and the like for OFPST_DESC (`other_config:dp-desc`, `dp-sn`).
    dp_desc: str = ""
    dp_sn: str = ""
    #: By table number.
    tables: tuple[TableSettings, ...] = ()
    #: In-band control: queue of what is sent to controllers (-1: none), and whether there is any.
    in_band_queue: int = -1
    disable_in_band: bool = False
    #: Targets of the database's managers that are reached in-band too.
    in_band_managers: tuple[str, ...] = ()
    #: Who is told of its packets.
    exports: ExportSettings = ExportSettings()
    #: OpenFlow bundles that nobody touches for so long are forgotten.
    bundle_idle_timeout_ms: int = 10_000
    #: None: packets to group addresses go everywhere.
    mcast: McastSettings | None = None
    #: None: no STP.
    stp: StpSettings | None = None
    #: None: no RSTP. A bridge never has both.
    rstp: RstpSettings | None = None


class PortSettings(Record):
    """An Interface row as far as OpenFlow sees it.

    `ofport_request` is 0 for no wish. `peer` names the other end of a patch port."""

    name: str
    type: str
    ofport_request: int = 0
    peer: str = ""
    #: Bits of OFPPC_* that `other_config` or `mod-port` do not own: none yet.
    mtu: int = 0
    #: The address of a port without a device (a patch port), for its description.
    mac: str = ""
    #: LACP's number of the port (0: the OpenFlow one), its priority, its key (0: the port's).
    lacp_port_id: int = 0
    lacp_port_priority: int = 65_535
    lacp_key: int = 0
    #: None: no BFD session.
    bfd: BfdSettings | None = None
    #: None: no maintenance point.
    cfm: CfmSettings | None = None
    #: None: no LLDP.
    lldp: LldpSettings | None = None
    #: How much may come in.
    policing: Policing = FREE
    #: How threads of the data path poll it, as sorted pairs of keys and values.
    polling: tuple[tuple[str, str], ...] = ()
    #: (queue, DSCP) of the queues whose packets are marked.
    marks: tuple[tuple[int, int], ...] = ()


class PortInfo(Record):
    """What became of a port: for `ofport`, `mac_in_use` and statistics of the Interface row."""

    name: str
    ofport: int
    dp_port: int
    bundle: str


class ControllerStatus(Record):
    """How a connection fares: the columns `is_connected`, `role` and `status` of a Controller
    row. Times are seconds; -1 for never."""

    target: str
    is_connected: bool
    role: str = "other"
    last_error: str = ""
    state: str = "VOID"
    sec_since_connect: int = -1
    sec_since_disconnect: int = -1
    #: What rate limits did, as keys and values of `status`; empty without one.
    packet_ins: tuple[tuple[str, str], ...] = ()
