"""The options of `neutron.conf` and `ml2_conf.ini`, in one table.

An option is one that the service has (`field` of `Settings`), or one that Neutron has and that
means nothing here, with the reason, so that a file that people have can be used as it is and they
hear what does not count. Anything else is a mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

from netloom.network.config import kinds
from netloom.network.settings import DEFAULT_QUOTAS


class Option(NamedTuple):
    """One option; `field` is empty for those that set a quota."""

    section: str
    name: str
    kind: Callable[[str], Any]
    field: str = ""
    quota: str = ""


def _plain(section: str, kind: Callable[[str], Any], *names: str) -> tuple[Option, ...]:
    return tuple(Option(section, name, kind, name) for name in names)


OPTIONS: tuple[Option, ...] = (
    *_plain("DEFAULT", kinds.text, "bind_host", "base_mac", "dns_domain"),
    *_plain(
        "DEFAULT",
        kinds.integer,
        "bind_port",
        "api_workers",
        "pagination_max_limit",
        "max_dns_nameservers",
        "max_subnet_host_routes",
        "max_routes",
        "max_allowed_address_pair",
        "dhcp_agents_per_network",
        "agent_down_time",
        "global_physnet_mtu",
    ),
    *_plain(
        "DEFAULT",
        kinds.boolean,
        "allow_bulk",
        "network_auto_schedule",
        "router_auto_schedule",
        "allow_automatic_dhcp_failover",
        "allow_automatic_l3agent_failover",
        "enable_snat_by_default",
    ),
    *_plain("DEFAULT", kinds.words, "default_availability_zones"),
    Option("DEFAULT", "auth_strategy", kinds.one_of("noauth", "keystone"), "auth_strategy"),
    *_plain("database", kinds.text, "connection"),
    *_plain("database", kinds.integer, "max_pool_size"),
    Option("quotas", "default_quota", kinds.integer, "default_quota"),
    *(Option("quotas", f"quota_{kind}", kinds.integer, "", kind) for kind in DEFAULT_QUOTAS),
    *_plain(
        "ml2",
        kinds.words,
        "type_drivers",
        "tenant_network_types",
        "mechanism_drivers",
        "extension_drivers",
    ),
    *_plain("ml2", kinds.integer, "path_mtu", "overlay_ip_version"),
    *_plain("ml2", kinds.numbers, "physical_network_mtus"),
    *_plain("ml2", kinds.text, "external_network_type"),
    *_plain("ml2_type_flat", kinds.words, "flat_networks"),
    *_plain("ml2_type_vlan", kinds.vlan_ranges, "network_vlan_ranges"),
    *_plain("ml2_type_gre", kinds.ranges, "tunnel_id_ranges"),
    Option("ml2_type_vxlan", "vni_ranges", kinds.ranges, "vxlan_vni_ranges"),
    Option("ml2_type_geneve", "vni_ranges", kinds.ranges, "geneve_vni_ranges"),
    *_plain("ml2_type_geneve", kinds.integer, "max_header_size"),
    *_plain("securitygroup", kinds.boolean, "enable_security_group"),
)
BY_PLACE = MappingProxyType({(option.section, option.name): option for option in OPTIONS})

NO_BROKER = "there is no message broker"
NO_NOVA = "nobody is told of ports by call-back"
LOGGING = "logging is set up on the command line"
#: (section, option) -> why it has no effect; `*` stands for every option of the section.
WITHOUT_EFFECT = MappingProxyType(
    {
        ("DEFAULT", "core_plugin"): "ML2 is what there is",
        ("DEFAULT", "service_plugins"): "every service is always there",
        ("DEFAULT", "transport_url"): NO_BROKER,
        ("DEFAULT", "rpc_workers"): NO_BROKER,
        ("DEFAULT", "rpc_state_report_workers"): NO_BROKER,
        ("DEFAULT", "rpc_response_timeout"): NO_BROKER,
        ("DEFAULT", "control_exchange"): NO_BROKER,
        ("DEFAULT", "notify_nova_on_port_status_changes"): NO_NOVA,
        ("DEFAULT", "notify_nova_on_port_data_changes"): NO_NOVA,
        ("DEFAULT", "send_events_interval"): NO_NOVA,
        ("DEFAULT", "state_path"): "nothing is kept outside the database",
        ("DEFAULT", "lock_path"): "there are no lock files",
        ("DEFAULT", "api_paste_config"): "there is one pipeline",
        ("DEFAULT", "allow_overlapping_ips"): "projects' addresses may always overlap",
        ("DEFAULT", "dhcp_lease_duration"): "the DHCP agent's file has it",
        ("DEFAULT", "debug"): LOGGING,
        ("DEFAULT", "verbose"): LOGGING,
        ("DEFAULT", "log_file"): LOGGING,
        ("DEFAULT", "log_dir"): LOGGING,
        ("DEFAULT", "use_syslog"): LOGGING,
        ("DEFAULT", "use_stderr"): LOGGING,
        ("DEFAULT", "host"): "the server has no host of its own",
        ("DEFAULT", "interface_driver"): "the agents' files have it",
        ("DEFAULT", "l3_ha"): "routers have one agent",
        ("DEFAULT", "router_distributed"): "routers have one agent",
        ("DEFAULT", "vlan_transparent"): "networks carry no tags of their users",
        ("agent", "*"): "the agents' files have it",
        ("experimental", "*"): "nothing is experimental by option",
        ("nova", "*"): NO_NOVA,
        ("placement", "*"): "nothing is reported to placement",
        ("oslo_concurrency", "*"): "there are no lock files",
        ("oslo_messaging_notifications", "*"): NO_BROKER,
        ("oslo_messaging_rabbit", "*"): NO_BROKER,
        ("oslo_middleware", "*"): "there is no such middleware",
        ("oslo_policy", "*"): "policies are those of the resource table",
        ("privsep", "*"): "the server needs no privileges",
        ("cors", "*"): "browsers are not served",
        ("ssl", "*"): "put a TLS proxy in front",
        ("securitygroup", "firewall_driver"): "the agents' files have it",
        ("securitygroup", "enable_ipset"): "there is no iptables",
        ("ml2_type_vxlan", "vxlan_group"): "l2population or flooding reach every tunnel",
        ("database", "max_retries"): "lost requests are always tried again",
        ("database", "max_overflow"): "as many again as max_pool_size",
        ("database", "connection_recycle_time"): "connections are checked when they are used",
        ("quotas", "quota_driver"): "there is one",
        ("quotas", "track_quota_usage"): "usage is counted",
    }
)
#: Sections whose options are kept as they are.
KEYSTONE = "keystone_authtoken"
