"""Security group rules: what one may say, and that it is said once."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

from netloom.network.call import Call
from netloom.network.commit import created, deleted, new_document
from netloom.network.document import Document
from netloom.network.errors import fail
from netloom.network.identity.policy import is_visible
from netloom.network.model.table import resource
from netloom.network.secgroup.groups import DEFAULT_NAME
from netloom.network.secgroup.protocols import PROTOCOLS, protocol_number

WITH_PORTS = ("dccp", "sctp", "tcp", "udp", "udplite")
ONLY_IPV6 = frozenset(
    {"ipv6-encap", "ipv6-frag", "ipv6-icmp", "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route"}
)
ONLY_IPV6_NUMBERS = frozenset(PROTOCOLS[name] for name in ONLY_IPV6)
ICMP_NUMBERS = frozenset({1, 58})
IDENTITY = (
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
)


def create_rule(call: Call, body: dict[str, Any]) -> Document:
    """A new rule of a group that the caller owns."""
    group = call.tx.get("security_group", body["security_group_id"])
    visible = group is not None and is_visible(call, resource("security_group"), group)
    if group is None or not visible:
        raise fail("SecurityGroupNotFound", id=body["security_group_id"])
    rule = new_document(call, "security_group_rule", body)
    if group["project_id"] != rule["project_id"] and not call.caller.is_admin:
        raise fail("SecurityGroupNotFound", id=body["security_group_id"])
    _judge(call, rule)
    rule["remote_address_group_id"] = None
    prefix = rule["remote_ip_prefix"]
    rule["normalized_cidr"] = str(ip_interface(prefix).network) if prefix else None
    rule["belongs_to_default_sg"] = group["name"] == DEFAULT_NAME
    # Rules of one group are made one at a time, so that none is there twice.
    call.tx.touch("security_group", group["id"])
    for other in call.tx.find("security_group_rule", security_group_id=group["id"]):
        if _identity(other) == _identity(rule):
            raise fail("SecurityGroupRuleExists", rule_id=other["id"])
    return created(call, "security_group_rule", rule)


def delete_rule(call: Call, rule: Document) -> None:
    """Remove a rule."""
    call.tx.touch("security_group", rule["security_group_id"])
    deleted(call, "security_group_rule", rule)


def _identity(rule: Document) -> tuple[Any, ...]:
    values = {key: rule[key] for key in IDENTITY}
    values["protocol"] = protocol_number(rule["protocol"])
    if values["remote_ip_prefix"]:
        values["remote_ip_prefix"] = str(ip_interface(values["remote_ip_prefix"]).network)
    return tuple(values.values())


def _judge(call: Call, rule: Document) -> None:
    """Raise unless the parts of the rule make sense together."""
    if rule["protocol"] == "any":
        rule["protocol"] = None
    _judge_protocol(rule)
    _judge_ports(rule)
    prefix, group = rule["remote_ip_prefix"], rule["remote_group_id"]
    if prefix is not None and group is not None:
        raise fail("SecurityGroupMultipleRemoteEntites")
    if prefix is not None:
        version = f"IPv{ip_interface(prefix).version}"
        if version != rule["ethertype"]:
            raise fail(
                "SecurityGroupRuleParameterConflict", ethertype=rule["ethertype"], cidr=prefix
            )
    if group is not None:
        remote = call.tx.get("security_group", group)
        if remote is None or not is_visible(call, resource("security_group"), remote):
            raise fail("SecurityGroupNotFound", id=group)


def _judge_protocol(rule: Document) -> None:
    protocol = rule["protocol"]
    if protocol is None:
        return
    known = protocol in PROTOCOLS or (
        protocol.isascii() and protocol.isdigit() and int(protocol[:9]) <= 255
    )
    if not known:
        raise fail(
            "SecurityGroupRuleInvalidProtocol",
            protocol=protocol,
            values=[*sorted(PROTOCOLS), None, "any"],
        )
    if protocol_number(protocol) in ONLY_IPV6_NUMBERS and rule["ethertype"] != "IPv6":
        raise fail(
            "SecurityGroupEthertypeConflictWithProtocol",
            ethertype=rule["ethertype"],
            protocol=protocol,
        )
    # "icmp" in a rule for IPv6 means ICMPv6.
    if protocol in ("icmp", "icmpv6", "ipv6-icmp") and rule["ethertype"] == "IPv6":
        rule["protocol"] = "ipv6-icmp"


def _judge_ports(rule: Document) -> None:
    low, high, protocol = rule["port_range_min"], rule["port_range_max"], rule["protocol"]
    if low is None and high is None:
        return
    if protocol is None:
        raise fail("SecurityGroupProtocolRequiredWithPorts")
    number = protocol_number(protocol)
    if number in ICMP_NUMBERS:
        for field, attr, value in (
            ("port_range_min", "type", low),
            ("port_range_max", "code", high),
        ):
            if value is not None and not 0 <= value <= 255:
                raise fail("SecurityGroupInvalidIcmpValue", field=field, attr=attr, value=value)
        if low is None:
            raise fail("SecurityGroupMissingIcmpType", value=high)
    elif number in {PROTOCOLS[name] for name in WITH_PORTS}:
        if low == 0 or high == 0:
            raise fail("SecurityGroupInvalidPortValue", port=0)
        if low is None or high is None or low > high:
            raise fail("SecurityGroupInvalidPortRange")
    else:
        raise fail(
            "SecurityGroupInvalidProtocolForPort",
            protocol=protocol,
            valid_port_protocols=", ".join(WITH_PORTS),
        )
