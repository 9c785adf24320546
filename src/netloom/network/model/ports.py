"""The resource table: ports and security groups."""

from __future__ import annotations

from typing import Any

from netloom.network.errors import Refused
from netloom.network.model import kinds
from netloom.network.model.attribute import (
    ADMIN,
    NETWORK_OWNER,
    OWNER_OR_NETWORK_OWNER,
    REQUIRED,
    Resource,
    given,
    once,
    output,
)
from netloom.network.model.standard import ID, OWNED, PROJECT, STANDARD, TAGS, name_attribute

VNIC_TYPES = (
    "normal",
    "direct",
    "macvtap",
    "baremetal",
    "direct-physical",
    "virtio-forwarder",
    "smart-nic",
    "vdpa",
    "accelerator-direct",
    "accelerator-direct-physical",
    "remote-managed",
)

PORT = Resource(
    "port",
    "ports",
    (
        ID,
        name_attribute(),
        *PROJECT,
        once("network_id", kinds.UUID, REQUIRED),
        given("admin_state_up", kinds.BOOLEAN, True),
        given(
            "mac_address",
            kinds.optional(kinds.MAC),
            None,
            may_set=NETWORK_OWNER,
            may_change=ADMIN,
        ),
        given("fixed_ips", kinds.FIXED_IPS, sort=False),
        given("device_id", kinds.string(), ""),
        given("device_owner", kinds.string(), ""),
        output("status", kinds.string()),
        given("security_groups", kinds.UUID_LIST, sort=False, extension="security-group"),
        given(
            "port_security_enabled",
            kinds.BOOLEAN,
            may_set=NETWORK_OWNER,
            sort=False,
            extension="port-security",
        ),
        given(
            "allowed_address_pairs",
            kinds.ADDRESS_PAIRS,
            may_set=NETWORK_OWNER,
            filter=False,
            sort=False,
            extension="allowed-address-pairs",
        ),
        given(
            "extra_dhcp_opts",
            kinds.DHCP_OPTIONS,
            filter=False,
            sort=False,
            extension="extra_dhcp_opt",
        ),
        given(
            "binding:host_id",
            kinds.string_or_none(),
            may_set=ADMIN,
            may_see=ADMIN,
            extension="binding",
            sort=False,
        ),
        given(
            "binding:profile",
            kinds.OBJECT,
            may_set=ADMIN,
            may_see=ADMIN,
            filter=False,
            sort=False,
            extension="binding",
        ),
        given(
            "binding:vnic_type",
            kinds.one_of(*VNIC_TYPES),
            "normal",
            sort=False,
            extension="binding",
        ),
        output(
            "binding:vif_type",
            kinds.string(),
            may_see=ADMIN,
            filter=False,
            sort=False,
            extension="binding",
        ),
        output(
            "binding:vif_details",
            kinds.OUTPUT,
            may_see=ADMIN,
            filter=False,
            sort=False,
            extension="binding",
        ),
        given(
            "dns_name", kinds.DNS_NAME, "", filter=False, sort=False, extension="dns-integration"
        ),
        given(
            "dns_domain",
            kinds.DNS_DOMAIN,
            "",
            filter=False,
            sort=False,
            extension="dns-domain-ports",
        ),
        output(
            "dns_assignment", kinds.OUTPUT, filter=False, sort=False, extension="dns-integration"
        ),
        output("ip_allocation", kinds.string(), extension="ip_allocation"),
        *STANDARD,
        TAGS,
    ),
    not_found="PortNotFound",
    not_found_place="port_id",
    rights={**OWNED, "delete": OWNER_OR_NETWORK_OWNER},
    tagged=True,
    quota=True,
    text="A place on a network where something is plugged in, with its addresses.",
)


def _ethertype(value: Any) -> Any:
    """IPv4 and IPv6, however they are spelled."""
    if isinstance(value, str):
        value = {"ipv4": "IPv4", "ipv6": "IPv6"}.get(value.lower(), value)
    if value not in ("IPv4", "IPv6"):
        places = {"ethertype": value, "values": ["IPv4", "IPv6"]}
        raise Refused(f"'{value}' is no ethertype", "SecurityGroupRuleInvalidEtherType", **places)
    return value


def _protocol(value: Any) -> str | None:
    """Names in lower case, numbers as text; judged when the rule is whole."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"'{value}' is not a protocol")
    return str(value).lower()


def _port_value(value: Any) -> int | None:
    if value is None or value == "":
        return None
    try:
        return kinds.integer(0, 65535).check(value)  # type: ignore[no-any-return]
    except ValueError:
        text = f"Invalid value for port {value}"
        raise Refused(text, "SecurityGroupInvalidPortValue", port=value) from None


SECURITY_GROUP = Resource(
    "security_group",
    "security_groups",
    (
        ID,
        given("name", kinds.NAME_NOT_DEFAULT, ""),
        *PROJECT,
        given("stateful", kinds.BOOLEAN, True, sort=False, extension="stateful-security-group"),
        output("security_group_rules", kinds.OUTPUT, filter=False, sort=False),
        output("shared", kinds.BOOLEAN, sort=False),
        *STANDARD,
        TAGS,
    ),
    not_found="SecurityGroupNotFound",
    not_found_place="id",
    rights=OWNED,
    tagged=True,
    quota=True,
    extension="security-group",
    text="What may reach the ports that are in it; everything else is dropped.",
)

_PROTOCOL = kinds.Kind("protocol", _protocol, {"type": "string", "nullable": True})
_PORT_VALUE = kinds.Kind("port", _port_value, {"type": "integer", "nullable": True})

SECURITY_GROUP_RULE = Resource(
    "security_group_rule",
    "security_group_rules",
    (
        ID,
        *PROJECT,
        once("security_group_id", kinds.string(36), REQUIRED),
        once("direction", kinds.one_of("ingress", "egress"), REQUIRED),
        once("ethertype", kinds.one_of("IPv4", "IPv6", convert=_ethertype), "IPv4"),
        once("protocol", _PROTOCOL, None),
        once("port_range_min", _PORT_VALUE, None),
        once("port_range_max", _PORT_VALUE, None),
        once("remote_ip_prefix", kinds.PREFIX, None),
        once("remote_group_id", kinds.string_or_none(36), None),
        output("remote_address_group_id", kinds.OUTPUT, filter=False, sort=False),
        output("normalized_cidr", kinds.CIDR_OR_NONE, extension="security-groups-normalized-cidr"),
        output(
            "belongs_to_default_sg",
            kinds.BOOLEAN,
            sort=False,
            extension="security-groups-rules-belongs-to-default-sg",
        ),
        *STANDARD,
    ),
    not_found="SecurityGroupRuleNotFound",
    not_found_place="id",
    rights={key: right for key, right in OWNED.items() if key != "update"},
    quota=True,
    extension="security-group",
    text="One kind of traffic that a security group lets pass.",
)
