"""What the configuration files say to the service, as one frozen value with Neutron's defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

#: (first, last) of a range of numbers, both included.
Range = tuple[int, int]

DEFAULT_QUOTAS = MappingProxyType(
    {
        "network": 100,
        "subnet": 100,
        "subnetpool": -1,
        "port": 500,
        "router": 10,
        "floatingip": 50,
        "security_group": 10,
        "security_group_rule": 100,
        "rbac_policy": 10,
    }
)


@dataclass(frozen=True, slots=True)
class Settings:
    """Options of `neutron.conf` and `ml2_conf.ini`; each named as there."""

    # [DEFAULT]
    bind_host: str = "127.0.0.1"
    bind_port: int = 9696
    auth_strategy: str = "noauth"
    base_mac: str = "fa:16:3e:00:00:00"
    api_workers: int = 1
    allow_bulk: bool = True
    #: Connections of one worker to the database.
    max_pool_size: int = 8
    pagination_max_limit: int = -1
    max_dns_nameservers: int = 5
    max_subnet_host_routes: int = 20
    max_routes: int = 30
    max_allowed_address_pair: int = 10
    dhcp_agents_per_network: int = 1
    network_auto_schedule: bool = True
    router_auto_schedule: bool = True
    allow_automatic_dhcp_failover: bool = True
    allow_automatic_l3agent_failover: bool = False
    agent_down_time: int = 75
    global_physnet_mtu: int = 1500
    dns_domain: str = "openstacklocal."
    default_availability_zones: tuple[str, ...] = ()
    enable_snat_by_default: bool = True
    # [database]
    connection: str = "sqlite:////var/lib/netloom/network.sqlite"
    # [quotas]
    quotas: MappingProxyType[str, int] = field(default_factory=lambda: DEFAULT_QUOTAS)
    default_quota: int = -1
    # [ml2]
    type_drivers: tuple[str, ...] = ("local", "flat", "vlan", "gre", "vxlan", "geneve")
    tenant_network_types: tuple[str, ...] = ("local",)
    mechanism_drivers: tuple[str, ...] = ("openvswitch", "l2population")
    extension_drivers: tuple[str, ...] = ("port_security", "dns")
    path_mtu: int = 0
    physical_network_mtus: MappingProxyType[str, int] = field(
        default_factory=lambda: MappingProxyType({})
    )
    external_network_type: str = ""
    overlay_ip_version: int = 4
    # [ml2_type_*]
    flat_networks: tuple[str, ...] = ("*",)
    #: physical network -> ranges that tenants' networks are taken from
    network_vlan_ranges: MappingProxyType[str, tuple[Range, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    tunnel_id_ranges: tuple[Range, ...] = ()
    vxlan_vni_ranges: tuple[Range, ...] = ()
    geneve_vni_ranges: tuple[Range, ...] = ()
    max_header_size: int = 30
    # [securitygroup]
    enable_security_group: bool = True
    # [keystone_authtoken]
    keystone: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    #: Options of drivers that are not built in: `[ml2_NAME]` by NAME.
    drivers: MappingProxyType[str, MappingProxyType[str, str]] = field(
        default_factory=lambda: MappingProxyType({})
    )
