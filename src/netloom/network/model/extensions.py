"""The extensions that the service announces: only those that work, under Neutron's aliases."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol


class Extension(NamedTuple):
    """One extension; `alias` is what clients look for."""

    alias: str
    name: str
    description: str
    updated: str

    def shown(self) -> dict[str, Any]:
        """As the API shows it."""
        return {
            "alias": self.alias,
            "name": self.name,
            "description": self.description,
            "updated": self.updated,
            "links": [],
        }


class Brings(Protocol):
    """What has aliases: an extension driver."""

    aliases: tuple[str, ...]


EXTENSIONS: tuple[Extension, ...] = (
    Extension(
        "aap-reject-multicast",
        "Allowed address pairs reject multicast extension",
        "Allowed address pairs cannot be multicast addresses.",
        "2026-04-01T00:00:00-00:00",
    ),
    Extension(
        "agent", "agent", "Agents, their state and configuration.", "2013-02-03T10:00:00-00:00"
    ),
    Extension(
        "agent-resources-synced",
        "Agent's Resource View Synced to Placement",
        "Agents tell whether a placement service knows what they have.",
        "2018-12-19T00:00:00-00:00",
    ),
    Extension(
        "agent_sort_key",
        "Agents Sort Key",
        "Lists of agents can be sorted.",
        "2013-02-03T10:00:00-00:00",
    ),
    Extension(
        "allowed-address-pairs",
        "Allowed Address Pairs",
        "Further addresses that a port may send from.",
        "2013-07-23T10:00:00-00:00",
    ),
    Extension(
        "auto-allocated-topology",
        "Auto Allocated Topology Services",
        "A network for whoever asks, with a way out.",
        "2016-01-01T00:00:00-00:00",
    ),
    Extension(
        "availability_zone",
        "Availability Zone",
        "Zones that agents are in.",
        "2015-01-01T10:00:00-00:00",
    ),
    Extension(
        "availability_zone_filter",
        "Availability Zone Filter Extension",
        "Lists of zones can be filtered.",
        "2018-06-22T10:00:00-00:00",
    ),
    Extension(
        "binding",
        "Port Binding",
        "Where and how a port is plugged in.",
        "2014-02-03T10:00:00-00:00",
    ),
    Extension(
        "default-subnetpools",
        "Default Subnetpools",
        "A pool for requests that name none.",
        "2016-02-18T18:00:00-00:00",
    ),
    Extension(
        "dhcp_agent_scheduler",
        "DHCP Agent Scheduler",
        "Which DHCP agents serve a network.",
        "2013-02-07T10:00:00-00:00",
    ),
    Extension(
        "dns-domain-ports",
        "dns_domain for ports",
        "A DNS domain for each port.",
        "2017-04-24T10:00:00-00:00",
    ),
    Extension(
        "dns-integration",
        "DNS Integration",
        "Names of ports and floating addresses.",
        "2015-08-15T18:00:00-00:00",
    ),
    Extension(
        "empty-string-filtering",
        "Empty String Filtering Extension",
        "Lists can be filtered by empty values.",
        "2018-05-01T10:00:00-00:00",
    ),
    Extension(
        "expose-port-forwarding-in-fip",
        "Expose Floating IP port forwardings",
        "Floating addresses show their port forwardings.",
        "2018-06-28T16:00:00-00:00",
    ),
    Extension(
        "ext-gw-mode",
        "Neutron L3 Configurable external gateway mode",
        "Source NAT of a router can be switched off.",
        "2013-03-28T10:00:00-00:00",
    ),
    Extension(
        "external-net",
        "Neutron external network",
        "Networks that lead outside.",
        "2013-01-14T10:00:00-00:00",
    ),
    Extension(
        "extra_dhcp_opt",
        "Neutron Extra DHCP options",
        "DHCP options of single ports.",
        "2013-03-17T12:00:00-00:00",
    ),
    Extension(
        "extraroute",
        "Neutron Extra Route",
        "Static routes of routers.",
        "2013-02-01T10:00:00-00:00",
    ),
    Extension(
        "extraroute-atomic",
        "Atomically add/remove extra routes",
        "Static routes can be added and removed one by one.",
        "2019-07-10T00:00:00+00:00",
    ),
    Extension(
        "filter-validation",
        "Filter parameters validation",
        "Unknown filters are refused.",
        "2018-07-04T10:00:00-00:00",
    ),
    Extension(
        "fip-port-details",
        "Floating IP Port Details Extension",
        "Floating addresses show the port that they lead to.",
        "2018-04-09T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-port-forwarding",
        "Floating IP Port Forwarding",
        "Single ports of a floating address lead to internal ones.",
        "2018-01-19T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-port-forwarding-description",
        "Floating IP Port Forwarding new attribute description",
        "Port forwardings have a description.",
        "2019-11-01T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-port-forwarding-detail",
        "Floating IP port forwarding detail",
        "Floating addresses show their port forwardings with ids.",
        "2022-05-06T10:00:00-00:00",
    ),
    Extension(
        "floating-ip-port-forwarding-port-ranges",
        "Floating IP Port Forwarding support port ranges",
        "Port forwardings of ranges of ports.",
        "2020-07-01T10:00:00-00:00",
    ),
    Extension(
        "floatingip-pools",
        "Floating IP Pools Extension",
        "Subnets that floating addresses come from.",
        "2018-03-21T10:00:00-00:00",
    ),
    Extension(
        "ip-substring-filtering",
        "IP address substring filtering",
        "Ports can be found by parts of addresses.",
        "2017-11-28T09:00:00-00:00",
    ),
    Extension(
        "ip_allocation",
        "IP Allocation",
        "When a port gets its addresses.",
        "2016-06-10T23:00:00-00:00",
    ),
    Extension(
        "l2_adjacency",
        "L2 Adjacency",
        "Whether a network is one broadcast domain.",
        "2016-04-12T16:00:00-00:00",
    ),
    Extension(
        "l3-port-ip-change-not-allowed",
        "Prevent L3 router ports IP address change extension",
        "Interfaces of routers keep their addresses.",
        "2018-10-09T10:00:00-00:00",
    ),
    Extension(
        "l3_agent_scheduler",
        "L3 Agent Scheduler",
        "Which L3 agent hosts a router.",
        "2013-02-07T10:00:00-00:00",
    ),
    Extension(
        "multi-provider",
        "Multi Provider Network",
        "Networks of several segments.",
        "2013-06-27T10:00:00-00:00",
    ),
    Extension("net-mtu", "Network MTU", "The MTU of a network.", "2015-03-25T10:00:00-00:00"),
    Extension(
        "net-mtu-writable",
        "Network MTU (writable)",
        "The MTU of a network can be set.",
        "2017-07-12T00:00:00-00:00",
    ),
    Extension(
        "network-ip-availability",
        "Network IP Availability",
        "How many addresses a network has left.",
        "2015-09-24T00:00:00-00:00",
    ),
    Extension(
        "network-ip-availability-details",
        "Network IP Availability Details Extension",
        "Addresses of subnets and of their pools are counted apart.",
        "2025-10-31T00:00:00-00:00",
    ),
    Extension(
        "network_availability_zone",
        "Network Availability Zone",
        "Zones of networks.",
        "2015-01-01T10:00:00-00:00",
    ),
    Extension(
        "pagination", "Pagination support", "Lists come in pages.", "2016-06-12T00:00:00-00:00"
    ),
    Extension(
        "port-mac-address-regenerate",
        "Neutron Port MAC address regenerate",
        "A port can be given a new MAC address.",
        "2018-05-03T10:00:00-00:00",
    ),
    Extension(
        "port-security",
        "Port Security",
        "Checks of a port's packets can be switched off.",
        "2012-07-23T10:00:00-00:00",
    ),
    Extension(
        "port-security-groups-filtering",
        "Port filtering on security groups",
        "Ports can be found by security group.",
        "2018-01-09T09:00:00-00:00",
    ),
    Extension(
        "project-id",
        "project_id field enabled",
        "The owner is called project_id.",
        "2016-09-09T09:09:09-09:09",
    ),
    Extension(
        "provider", "Provider Network", "The segment of a network.", "2012-09-07T10:00:00-00:00"
    ),
    Extension(
        "quota-check-limit",
        "Quota engine limit check",
        "Limits below what is in use can be refused.",
        "2021-09-08T16:00:00-00:00",
    ),
    Extension(
        "quota-check-limit-default",
        "Quota engine limit check by default",
        "Limits below what is in use are refused unless forced.",
        "2024-08-21T16:00:00-00:00",
    ),
    Extension(
        "quota_details",
        "Quota details management support",
        "Limits with what is in use.",
        "2017-02-10T10:00:00-00:00",
    ),
    Extension(
        "quotas",
        "Quota management support",
        "Limits for each project.",
        "2012-07-29T10:00:00-00:00",
    ),
    Extension(
        "rbac-policies",
        "RBAC Policies",
        "Things can be shared with other projects.",
        "2015-06-17T12:15:12-00:00",
    ),
    Extension(
        "rbac-security-groups",
        "Add security_group type to network RBAC",
        "Security groups can be shared.",
        "2019-02-14T00:00:00-00:00",
    ),
    Extension(
        "rbac-subnetpool",
        "Add subnetpool type to RBAC",
        "Subnet pools can be shared.",
        "2020-02-05T00:00:00-00:00",
    ),
    Extension(
        "revision-if-match",
        "If-Match constraints based on revision_number",
        "A change can be tied to a revision.",
        "2016-12-11T00:00:00-00:00",
    ),
    Extension(
        "router",
        "Neutron L3 Router",
        "Routers and floating addresses.",
        "2012-07-20T10:00:00-00:00",
    ),
    Extension(
        "router_availability_zone",
        "Router Availability Zone",
        "Zones of routers.",
        "2015-01-01T10:00:00-00:00",
    ),
    Extension(
        "security-group",
        "security-group",
        "Filters of the packets of ports.",
        "2012-10-05T10:00:00-00:00",
    ),
    Extension(
        "security-groups-normalized-cidr",
        "Normalized CIDR field for security group rules",
        "Rules show their prefix without host bits.",
        "2020-07-28T10:00:00-00:00",
    ),
    Extension(
        "security-groups-rules-belongs-to-default-sg",
        "Security group rule belongs to the project's default security group",
        "Rules tell whether they are of a default group.",
        "2023-05-23T10:00:00-00:00",
    ),
    Extension(
        "security-groups-shared-filtering",
        "Security group filtering on the shared field",
        "Security groups can be found by whether they are shared.",
        "2021-10-05T09:00:00-00:00",
    ),
    Extension(
        "service-type",
        "Neutron Service Type Management",
        "What carries out which service.",
        "2013-01-20T00:00:00-00:00",
    ),
    Extension("sorting", "Sorting support", "Lists can be sorted.", "2016-06-12T00:00:00-00:00"),
    Extension(
        "standard-attr-description",
        "standard-attr-description",
        "Things have descriptions.",
        "2016-02-10T10:00:00-00:00",
    ),
    Extension(
        "standard-attr-revisions",
        "Resource revision numbers",
        "Things have revision numbers.",
        "2016-04-11T10:00:00-00:00",
    ),
    Extension(
        "standard-attr-tag",
        "Tag support for resources with standard attribute",
        "Things have tags.",
        "2017-01-01T00:00:00-00:00",
    ),
    Extension(
        "standard-attr-timestamp",
        "Resource timestamps",
        "Things show when they were made and changed.",
        "2016-09-12T10:00:00-00:00",
    ),
    Extension(
        "stateful-security-group",
        "Stateful security group",
        "Security groups without connection tracking.",
        "2019-11-26T09:00:00-00:00",
    ),
    Extension(
        "subnet-external-network",
        "Subnet belongs to an external network",
        "Subnets tell whether their network is external.",
        "2024-02-05T18:00:00-00:00",
    ),
    Extension(
        "subnet-service-types",
        "Subnet service types",
        "Subnets for one kind of device.",
        "2016-03-15T18:00:00-00:00",
    ),
    Extension(
        "subnet_allocation",
        "Subnet Allocation",
        "Subnets can be cut from pools.",
        "2015-03-30T10:00:00-00:00",
    ),
    Extension(
        "subnet_onboard",
        "Subnet Onboard",
        "Subnets can be brought under a pool.",
        "2018-12-18T09:00:00-00:00",
    ),
    Extension(
        "subnetpool-prefix-ops",
        "Subnet Pool Prefix Operations",
        "Prefixes of pools can be added and removed one by one.",
        "2019-02-08T10:00:00-00:00",
    ),
    Extension(
        "tag-creation",
        "Tag creation extension",
        "Several tags can be added at once.",
        "2024-23-07T10:00:00-00:00",
    ),
)
#: Announced only if an extension driver brings them.
OF_DRIVERS = frozenset({"port-security", "dns-integration", "dns-domain-ports"})


def extensions(drivers: Iterable[Brings]) -> list[Extension]:
    """What works with these extension drivers."""
    brought = {alias for driver in drivers for alias in driver.aliases}
    return [entry for entry in EXTENSIONS if entry.alias not in OF_DRIVERS - brought]
