"""The options of the agents' files, in tables.

As for the service (`netloom.network.config.options`): an option is one that the agent has, or one
that Neutron's agent has and that changes nothing here, with the reason, so that files that people
have can be used as they are. `only` options have one value that is right here; another one would
promise what does not happen. What belongs to the service (agents are often given `neutron.conf` as
well) is passed over. Anything else is a mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger
from netloom.network.config import kinds
from netloom.network.config import options as service
from netloom.network.config.ini import Value, expand, merge, parse_file
from netloom.network.config.load import check_keystone

log = get_logger("network_agent")

#: (section, option) -> (what its text means, field; empty: only checked)
Table = Mapping[tuple[str, str], tuple[Callable[[str], Any], str]]
KEYSTONE = service.KEYSTONE


def only(value: str, reason: str) -> Callable[[str], str]:
    """An option that may be given if it says what is so anyway."""

    def check(text: str) -> str:
        if text.lower() != value:
            raise ValueError(f"'{text}' is not possible: {reason}")
        return text

    return check


OF_ALL: Table = MappingProxyType(
    {
        ("DEFAULT", "host"): (kinds.text, "host"),
        ("netloom", "server_url"): (kinds.text, "server_url"),
        ("agent", "report_interval"): (kinds.integer, "report_interval"),
        ("AGENT", "report_interval"): (kinds.integer, "report_interval"),
        ("ovs", "integration_bridge"): (kinds.text, "integration_bridge"),
        ("OVS", "integration_bridge"): (kinds.text, "integration_bridge"),
    }
)
ROOM_OPTIONS: Table = MappingProxyType(
    {
        **OF_ALL,
        ("DEFAULT", "state_path"): (kinds.text, "state_path"),
        ("DEFAULT", "dns_domain"): (kinds.text, "dns_domain"),
        ("DEFAULT", "ovs_integration_bridge"): (kinds.text, "integration_bridge"),
        ("DEFAULT", "agent_mode"): (only("legacy", "routers have one agent"), ""),
        ("DEFAULT", "interface_driver"): (kinds.one_of("openvswitch"), ""),
        ("DEFAULT", "force_metadata"): (only("false", "there is no metadata"), ""),
        ("DEFAULT", "enable_isolated_metadata"): (only("false", "there is no metadata"), ""),
        ("DEFAULT", "enable_metadata_network"): (only("false", "there is no metadata"), ""),
        ("netloom", "dnsmasq"): (kinds.text, "dnsmasq"),
        ("netloom", "nft"): (kinds.text, "nft"),
    }
)
L2_OPTIONS: Table = MappingProxyType(
    {
        **OF_ALL,
        ("ovs", "tunnel_bridge"): (kinds.text, "tunnel_bridge"),
        ("ovs", "local_ip"): (kinds.text, "local_ip"),
        ("ovs", "bridge_mappings"): (kinds.mapping, "bridge_mappings"),
        ("ovs", "datapath_type"): (kinds.one_of("system", "netdev"), "datapath_type"),
        ("ovs", "ovsdb_connection"): (kinds.text, "ovsdb_connection"),
        ("agent", "tunnel_types"): (kinds.words, "tunnel_types"),
        ("agent", "l2_population"): (kinds.boolean, "l2_population"),
        ("agent", "arp_responder"): (kinds.boolean, "arp_responder"),
        ("agent", "vxlan_udp_port"): (kinds.integer, "vxlan_udp_port"),
        ("agent", "dont_fragment"): (kinds.boolean, "dont_fragment"),
        ("agent", "enable_distributed_routing"): (only("false", "routers have one agent"), ""),
        ("agent", "tunnel_csum"): (only("false", "tunnels have no checksums"), ""),
        ("agent", "drop_flows_on_start"): (only("false", "a restart loses no packet"), ""),
        ("agent", "extensions"): (only("", "there are no extensions of agents"), ""),
        ("securitygroup", "enable_security_group"): (kinds.boolean, "enable_security_group"),
        ("securitygroup", "firewall_driver"): (
            kinds.one_of("openvswitch", "noop"),
            "firewall_driver",
        ),
    }
)
NO_COMMANDS = "flows and rows go over sockets"
WATCHED = "changes are watched, not asked for"
#: (section, option) -> why it has no effect; `*` stands for every option of the section.
WITHOUT_EFFECT = MappingProxyType(
    {
        ("DEFAULT", "dhcp_driver"): "dnsmasq is what there is",
        ("DEFAULT", "dhcp_confs"): "the files are below state_path",
        ("DEFAULT", "ra_confs"): "the agent advertises itself",
        ("DEFAULT", "resync_interval"): WATCHED,
        ("DEFAULT", "num_sync_threads"): WATCHED,
        ("DEFAULT", "bulk_reload_interval"): WATCHED,
        ("DEFAULT", "dnsmasq_base_log_dir"): "dnsmasq logs to syslog",
        ("DEFAULT", "metadata_port"): "there is no metadata",
        ("DEFAULT", "enable_metadata_proxy"): "there is no metadata",
        ("DEFAULT", "handle_internal_only_routers"): "routers without a gateway are served",
        ("DEFAULT", "external_network_bridge"): "bridge_mappings of the L2 agent have it",
        ("DEFAULT", "ovs_use_veth"): "the ports of agents are always veth pairs",
        ("DEFAULT", "rpc_response_max_timeout"): service.NO_BROKER,
        ("agent", "log_agent_heartbeats"): service.LOGGING,
        ("agent", "polling_interval"): WATCHED,
        ("agent", "minimize_polling"): WATCHED,
        ("agent", "ovsdb_monitor_respawn_interval"): WATCHED,
        ("agent", "quitting_rpc_timeout"): service.NO_BROKER,
        ("agent", "root_helper"): "the agent runs with the rights that it needs",
        ("agent", "root_helper_daemon"): "the agent runs with the rights that it needs",
        ("agent", "veth_mtu"): "networks have their MTU",
        ("agent", "explicitly_egress_direct"): "NORMAL learns where machines are",
        ("ovs", "int_peer_patch_port"): "the patch ports are called as by default",
        ("ovs", "tun_peer_patch_port"): "the patch ports are called as by default",
        ("ovs", "of_interface"): NO_COMMANDS,
        ("ovs", "of_listen_address"): "the agent calls the switch",
        ("ovs", "of_listen_port"): "the agent calls the switch",
        ("ovs", "of_connect_timeout"): NO_COMMANDS,
        ("ovs", "of_request_timeout"): NO_COMMANDS,
        ("ovs", "of_inactivity_probe"): NO_COMMANDS,
        ("ovs", "ovsdb_interface"): NO_COMMANDS,
        ("ovs", "ovsdb_timeout"): NO_COMMANDS,
        ("ovs", "ovsdb_debug"): service.LOGGING,
        ("network_log", "*"): "nothing is logged for tenants",
        ("dhcp", "*"): "the DHCP agent serves every port",
    }
)


def read_options(files: list[tuple[str, str]], table: Table) -> dict[str, Any]:
    """The fields that (name, text) files set, later ones first in right; `keystone` has the
    options of its section. `ConfigError` names file and line of what is wrong."""
    sections = merge([parse_file(text, name) for name, text in files])
    fields: dict[str, Any] = {}
    for section, options in sections.items():
        for name, values in options.items():
            value = values[-1]
            text = expand(sections, section, value)
            if section == KEYSTONE:
                check_keystone(name, value)
                fields.setdefault("keystone", {})[name] = text
                continue
            known = table.get((section, name))
            if known is None:
                _pass_over(section, name, value, table)
                continue
            kind, target = known
            try:
                meant = kind(text)
            except ValueError as error:
                raise ConfigError(f"[{section}] {name}: {error}", value.where) from None
            if target:
                fields[target] = meant
    return fields


def _pass_over(section: str, name: str, value: Value, table: Table) -> None:
    place = (section, name)
    reason = WITHOUT_EFFECT.get(place) or WITHOUT_EFFECT.get((section, "*"))
    if reason is not None:
        log.warn("%s: [%s] %s has no effect: %s", value.where, section, name, reason)
        return
    whole = (section, "*") in service.WITHOUT_EFFECT and section != "agent"
    if place in service.BY_PLACE or place in service.WITHOUT_EFFECT or whole:
        return
    names = sorted(known for here, known in table if here == section)
    near = get_close_matches(name, names, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ConfigError(f"[{section}] has no option '{name}'{hint}", value.where)
