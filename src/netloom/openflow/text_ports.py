"""Text of ports and queues, and of the switch's features."""

from __future__ import annotations

from netloom.flow.address import format_mac
from netloom.flow.ports import format_port
from netloom.openflow import messages as m
from netloom.openflow.duration_text import format_duration
from netloom.openflow.message_table import Frame
from netloom.openflow.message_text import Style
from netloom.openflow.port_counters import format_counters

_CONFIG = ("PORT_DOWN", "NO_STP", "NO_RECV", "NO_RECV_STP", "NO_FLOOD", "NO_FWD",
           "NO_PACKET_IN")  # fmt: skip
_STATE = ("LINK_DOWN", "BLOCKED", "LIVE")
_STP = ("STP_LISTEN", "STP_LEARN", "STP_FORWARD", "STP_BLOCK")
_FEATURES = (
    "10MB-HD", "10MB-FD", "100MB-HD", "100MB-FD", "1GB-HD", "1GB-FD", "10GB-FD", "40GB-FD",
    "100GB-FD", "1TB-FD", "OTHER", "COPPER", "FIBER", "AUTO_NEG", "AUTO_PAUSE",
    "AUTO_PAUSE_ASYM",
)  # fmt: skip
_CAPABILITIES = (
    (m.OFPC_FLOW_STATS, "FLOW_STATS"), (m.OFPC_TABLE_STATS, "TABLE_STATS"),
    (m.OFPC_PORT_STATS, "PORT_STATS"), (m.OFPC_IP_REASM, "IP_REASM"),
    (m.OFPC_QUEUE_STATS, "QUEUE_STATS"), (m.OFPC_ARP_MATCH_IP, "ARP_MATCH_IP"),
    (m.OFPC_PORT_BLOCKED, "PORT_BLOCKED"), (m.OFPC_BUNDLES, "BUNDLES"),
    (m.OFPC_FLOW_MONITORING, "FLOW_MONITORING"),
)  # fmt: skip
#: Bits that each version has.
_CAPABILITIES_OF = (0xEF, 0xEF, 0x16F, 0x16F, 0x76F, 0x76F)
_ACTIONS10 = (
    "output", "set_vlan_vid", "set_vlan_pcp", "strip_vlan", "mod_dl_src", "mod_dl_dst",
    "mod_nw_src", "mod_nw_dst", "mod_nw_tos", "mod_tp_src", "mod_tp_dst", "enqueue",
)  # fmt: skip
#: The order in which they are printed.
_ACTION_ORDER = (0, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


def _bits(value: int, names: tuple[str, ...]) -> str:
    words = [name for n, name in enumerate(names) if value >> n & 1]
    extra = value >> len(names) << len(names)
    if extra:
        words.append(f"{extra:#x}")
    return " ".join(words) or "0"


def _state(state: int) -> str:
    """The spanning tree state stands before the others without a space, as ever."""
    stp = state & m.OFPPS_STP_MASK
    first = _STP[stp >> 8] if stp else ""
    rest = _bits(state & ~m.OFPPS_STP_MASK, _STATE)
    return first + ("" if first and rest == "0" else rest)


def port_text(port: m.PhyPort) -> str:
    """The lines of one port."""
    out = f" {format_port(port.port_no)}({port.name}): addr:{format_mac(port.hw_addr)}\n"
    out += f"     config:     {_bits(port.config, _CONFIG)}\n"
    out += f"     state:      {_state(port.state)}\n"
    for title, features in (
        ("current:    ", port.current),
        ("advertised: ", port.advertised),
        ("supported:  ", port.supported),
        ("peer:       ", port.peer),
    ):
        if features:
            out += f"     {title}{_bits(features, _FEATURES)}\n"
    current, maximum = port.current_speed_kbps // 1000, port.max_speed_kbps // 1000
    return f"{out}     speed: {current} Mbps now, {maximum} Mbps max\n"


def _ports(ports: tuple[m.PhyPort, ...]) -> str:
    return "".join(port_text(port) for port in sorted(ports, key=lambda port: port.port_no))


def format_features_reply(message: m.FeaturesReply, frame: Frame, style: Style) -> str:
    f = message
    out = f" dpid:{f.datapath_id:016x}\nn_tables:{f.n_tables}, n_buffers:{f.n_buffers}"
    if f.auxiliary_id:
        out += f", auxiliary_id:{f.auxiliary_id}"
    words = []
    known = f.capabilities & _CAPABILITIES_OF[frame.version - 1]
    for bit, word in _CAPABILITIES:
        if bit == m.OFPC_IP_REASM and known & m.OFPC_STP:
            words.append("STP" if frame.version == 1 else "GROUP_STATS")
        if known & bit:
            words.append(word)
    out += f"\ncapabilities: {' '.join(words) or 0}\n"
    if f.actions:
        actions = [_ACTIONS10[n] for n in _ACTION_ORDER if f.actions >> n & 1]
        out += f"actions: {' '.join(actions)}\n" if actions else ""
    return out + _ports(f.ports)


def format_port_status(message: m.PortStatus, frame: Frame, style: Style) -> str:
    return f" {('ADD', 'DEL', 'MOD')[message.reason]}:{port_text(message.port)}"


def format_port_mod(message: m.PortMod, frame: Frame, style: Style) -> str:
    advertise = _bits(message.advertise, _FEATURES) if message.advertise else "UNCHANGED"
    return (
        f" port: {format_port(message.port_no, style.port_names)}: "
        f"addr:{format_mac(message.hw_addr)}\n"
        f"     config: {_bits(message.config & message.mask, _CONFIG)}\n"
        f"     mask:   {_bits(message.mask, _CONFIG)}\n"
        f"     advertise: {advertise}\n"
    )


def format_port_desc_request(message: m.PortDescRequest, frame: Frame, style: Style) -> str:
    return f" port={format_port(message.port_no, style.port_names)}"


def format_port_desc_reply(message: m.PortDescReply, frame: Frame, style: Style) -> str:
    return "\n" + _ports(message.ports)


def format_port_stats_request(message: m.PortStatsRequest, frame: Frame, style: Style) -> str:
    return f" port_no={format_port(message.port_no, style.port_names)}"


def _count(value: int) -> str:
    return "?" if value == m.UNKNOWN else str(value)


def _counts(pairs: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{name}={_count(value)}" for name, value in pairs)


def format_port_stats_reply(message: m.PortStatsReply, frame: Frame, style: Style) -> str:
    out = f" {len(message.ports)} ports\n"
    if style.verbosity < 1:
        return out
    for s in message.ports:
        port = format_port(s.port_no, style.port_names)
        rx = _counts((("pkts", s.rx_packets), ("bytes", s.rx_bytes), ("drop", s.rx_dropped),
                      ("errs", s.rx_errors), ("frame", s.rx_frame_err), ("over", s.rx_over_err),
                      ("crc", s.rx_crc_err)))  # fmt: skip
        tx = _counts((("pkts", s.tx_packets), ("bytes", s.tx_bytes), ("drop", s.tx_dropped),
                      ("errs", s.tx_errors), ("coll", s.collisions)))  # fmt: skip
        space = " " if s.port_no < 10 else ""
        out += f"  port {space}{port}: rx {rx}\n           tx {tx}\n"
        if s.duration_sec != 0xFFFFFFFF:
            duration = format_duration(s.duration_sec, s.duration_nsec)
            out += f"           duration={duration}\n"
        if s.rfc2819 or s.custom:
            out += format_counters(s)
    return out


# Queues


def format_queue_get_config_request(
    message: m.QueueGetConfigRequest, frame: Frame, style: Style
) -> str:
    out = f" port={format_port(message.port, style.port_names)}"
    return out if message.queue == m.OFPQ_ALL else f"{out} queue={message.queue}"


def _rate(name: str, rate: int) -> str:
    if rate == 0xFFFF:
        return ""
    return f" {name}:{rate // 10}.{rate % 10}%" if rate <= 1000 else f" {name}:(disabled)"


def format_queue_get_config_reply(
    message: m.QueueGetConfigReply, frame: Frame, style: Style
) -> str:
    out = " "
    port = 0
    for queue in sorted(message.queues, key=lambda queue: (queue.port, queue.queue)):
        if queue.port != port:
            port = queue.port
            out += f"port={format_port(port, style.port_names)}\n"
        rates = _rate("min_rate", queue.min_rate) + _rate("max_rate", queue.max_rate)
        out += f"queue {queue.queue}:{rates}\n"
    return out


def format_queue_stats_request(message: m.QueueStatsRequest, frame: Frame, style: Style) -> str:
    queue = "ALL" if message.queue == m.OFPQ_ALL else str(message.queue)
    return f" port={format_port(message.port_no, style.port_names)} queue={queue}"


def format_queue_stats_reply(message: m.QueueStatsReply, frame: Frame, style: Style) -> str:
    out = f" {len(message.queues)} queues\n"
    if style.verbosity < 1:
        return out
    for s in message.queues:
        counts = _counts((("bytes", s.tx_bytes), ("pkts", s.tx_packets), ("errors", s.tx_errors)))
        duration = "?"
        if s.duration_sec != 0xFFFFFFFF:
            duration = format_duration(s.duration_sec, s.duration_nsec)
        port = format_port(s.port_no, style.port_names)
        queue = "ALL" if s.queue == m.OFPQ_ALL else s.queue
        out += f"  port {port} queue {queue}: {counts}, duration={duration}\n"
    return out
