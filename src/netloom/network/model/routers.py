"""The resource table: routers, floating addresses and port forwardings."""

from __future__ import annotations

from netloom.network.model import kinds
from netloom.network.model.attribute import (
    ADMIN,
    ANYONE,
    OWNER,
    READER,
    REQUIRED,
    Resource,
    given,
    once,
    output,
)
from netloom.network.model.standard import ID, OWNED, PROJECT, STANDARD, TAGS, name_attribute

FORWARDED_PROTOCOLS = ("tcp", "udp", "sctp")

ROUTER = Resource(
    "router",
    "routers",
    (
        ID,
        name_attribute(),
        *PROJECT,
        given("admin_state_up", kinds.BOOLEAN, True),
        output("status", kinds.string(), filter=False),
        given("external_gateway_info", kinds.GATEWAY, filter=False, sort=False),
        given("routes", kinds.HOSTROUTES, filter=False, sort=False, extension="extraroute"),
        once(
            "availability_zone_hints",
            kinds.STRINGS,
            (),
            filter=False,
            extension="router_availability_zone",
        ),
        output(
            "availability_zones",
            kinds.OUTPUT,
            filter=False,
            sort=False,
            extension="router_availability_zone",
        ),
        output("distributed", kinds.BOOLEAN, may_see=ADMIN, filter=False, sort=False),
        output("ha", kinds.BOOLEAN, may_see=ADMIN, filter=False, sort=False),
        output("flavor_id", kinds.OUTPUT, filter=False, sort=False),
        *STANDARD,
        TAGS,
    ),
    not_found="RouterNotFound",
    not_found_place="router_id",
    rights=OWNED,
    tagged=True,
    quota=True,
    extension="router",
    text="Forwards between subnets, and to an external network.",
)

FLOATINGIP = Resource(
    "floatingip",
    "floatingips",
    (
        ID,
        *PROJECT,
        once("floating_network_id", kinds.UUID, REQUIRED),
        once("floating_ip_address", kinds.ADDRESS_OR_NONE, None, may_set=ADMIN),
        once("subnet_id", kinds.UUID_OR_NONE, None, shown=False, filter=False),
        given("port_id", kinds.UUID_OR_NONE, None),
        given("fixed_ip_address", kinds.ADDRESS_OR_NONE, None),
        output("router_id", kinds.UUID_OR_NONE),
        output("status", kinds.string()),
        output(
            "port_details", kinds.OUTPUT, filter=False, sort=False, extension="fip-port-details"
        ),
        output(
            "port_forwardings",
            kinds.OUTPUT,
            filter=False,
            sort=False,
            extension="expose-port-forwarding-in-fip",
        ),
        once("dns_name", kinds.DNS_NAME, "", filter=False, sort=False, extension="dns-integration"),
        once(
            "dns_domain",
            kinds.DNS_DOMAIN,
            "",
            filter=False,
            sort=False,
            extension="dns-integration",
        ),
        *STANDARD,
        TAGS,
    ),
    not_found="FloatingIPNotFound",
    not_found_place="floatingip_id",
    rights=OWNED,
    tagged=True,
    quota=True,
    extension="router",
    text="An address of an external network that leads to a port.",
)

PORT_FORWARDING = Resource(
    "port_forwarding",
    "port_forwardings",
    (
        ID,
        once("tenant_id", kinds.PROJECT, shown=False),
        once("project_id", kinds.PROJECT, shown=False),
        given("external_port", kinds.PORT_OR_NONE, None),
        given("internal_port", kinds.PORT_OR_NONE, None),
        given(
            "external_port_range",
            kinds.PORT_RANGE,
            None,
            extension="floating-ip-port-forwarding-port-ranges",
        ),
        given(
            "internal_port_range",
            kinds.PORT_RANGE,
            None,
            filter=False,
            sort=False,
            extension="floating-ip-port-forwarding-port-ranges",
        ),
        given("internal_ip_address", kinds.ADDRESS, REQUIRED, filter=False, sort=False),
        given("internal_port_id", kinds.UUID, REQUIRED),
        given(
            "protocol",
            kinds.convertible(
                kinds.one_of(*FORWARDED_PROTOCOLS, convert=lambda value: str(value).lower())
            ),
            REQUIRED,
        ),
        given(
            "description",
            kinds.DESCRIPTION,
            "",
            extension="floating-ip-port-forwarding-description",
        ),
    ),
    parent="floatingip",
    parent_key="floatingip_id",
    not_found="PortForwardingNotFound",
    not_found_place="id",
    rights={"create": OWNER, "show": READER, "list": ANYONE, "update": OWNER, "delete": OWNER},
    standard=False,
    extension="floating-ip-port-forwarding",
    text="One port of a floating address, led to one port of an internal one.",
)

FLOATINGIP_POOL = Resource(
    "floatingip_pool",
    "floatingip_pools",
    (
        output("subnet_id", kinds.UUID),
        output("subnet_name", kinds.NAME),
        output("tenant_id", kinds.PROJECT),
        output("project_id", kinds.PROJECT),
        output("network_id", kinds.UUID),
        output("cidr", kinds.CIDR),
    ),
    rights={"list": ANYONE},
    standard=False,
    extension="floatingip-pools",
    text="Subnets that floating addresses may come from.",
)
