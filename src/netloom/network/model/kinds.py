"""The types of attribute values: each checks a JSON value, makes it canonical, and has a schema.

A check returns the value to store or raises `ValueError` with the reason, in the words that clients
of OpenStack Networking know ("'x' is not a valid UUID"). Combinators (`one_of`, `list_of`,
`optional`) build the compound ones. Addresses are stored in canonical text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from netloom.network.errors import Refused

Json = Any
Check = Callable[[Json], Json]

_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z")
_MAC = re.compile(r"(?:[0-9a-fA-F]{2}[:-]){5}[0-9a-fA-F]{2}\Z")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)\Z")
_PORTS = re.compile(r"(\d+):(\d+)\Z")
TRUE_WORDS = frozenset({"1", "t", "true", "on", "y", "yes"})
FALSE_WORDS = frozenset({"0", "f", "false", "off", "n", "no"})


class Kind(NamedTuple):
    """A type of values: `schema` is what the OpenAPI document says of it."""

    name: str
    check: Check
    schema: Mapping[str, Any]


def _string(limit: int, *, blank: bool = True, none: bool = False) -> Check:
    def check(value: Json) -> Json:
        if value is None and none:
            return None
        if not isinstance(value, str):
            raise ValueError(f"'{value}' is not a valid string")
        if "\x00" in value or any(0xD800 <= ord(char) < 0xE000 for char in value):
            raise ValueError("the string contains characters that cannot be stored")
        if len(value) > limit:
            raise ValueError(f"'{value}' exceeds maximum length of {limit}")
        if not blank and not value.strip():
            raise ValueError(f"'{value}' Blank strings are not permitted")
        return value

    return check


def string(limit: int = 255, *, blank: bool = True) -> Kind:
    """Text of at most `limit` characters."""
    return Kind("string", _string(limit, blank=blank), {"type": "string", "maxLength": limit})


def string_or_none(limit: int = 255) -> Kind:
    """Text or null."""
    return Kind("string or null", _string(limit, none=True), {"type": "string", "nullable": True})


def _name_not_default(value: Json) -> Json:
    text = _string(255)(value)
    if text.lower() == "default":
        raise Refused(f"'{text}' is kept", "SecurityGroupDefaultAlreadyExists")
    return text


def _boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in TRUE_WORDS | FALSE_WORDS:
        return value.lower() in TRUE_WORDS
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    raise Refused(f"'{value}' cannot be converted to boolean")


def _to_int(value: Json) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Refused(f"'{value}' is not an integer")
    try:
        number = int(value)
    except ValueError:
        raise Refused(f"'{value}' is not an integer") from None
    if abs(number) >= 1 << 63:
        raise ValueError(f"'{str(value)[:40]}' is too large")
    return number


def integer(low: int | None = None, high: int | None = None) -> Kind:
    """A number, possibly written as text, within the limits (inclusive)."""

    def check(value: Json) -> int:
        number = _to_int(value)
        if low == 0 and number < 0 and high is None:
            raise ValueError(f"'{value}' should be non-negative")
        if low is not None and number < low:
            raise ValueError(f"'{value}' is too small - must be at least '{low}'")
        if high is not None and number > high:
            raise ValueError(f"'{value}' is too large - must be no larger than '{high}'")
        return number

    schema = {"type": "integer"}
    if low is not None:
        schema["minimum"] = low  # type: ignore[assignment]
    if high is not None:
        schema["maximum"] = high  # type: ignore[assignment]
    return Kind("integer", check, schema)


def optional(kind: Kind) -> Kind:
    """`kind`, or null."""
    return Kind(
        f"{kind.name} or null",
        lambda value: None if value is None else kind.check(value),
        {**kind.schema, "nullable": True},
    )


def one_of(*values: Json, convert: Check | None = None) -> Kind:
    """One of these values."""

    def check(value: Json) -> Json:
        converted = convert(value) if convert else value
        if isinstance(converted, list | dict) or converted not in values:
            shown = list(values)
            raise ValueError(f"{value} is not in {shown}")
        return converted

    return Kind("enumeration", check, {"enum": list(values)})


def convertible(kind: Kind) -> Kind:
    """`kind`, whose errors the API calls invalid input instead of a bad request."""

    def check(value: Json) -> Json:
        try:
            return kind.check(value)
        except ValueError as error:
            raise Refused(str(error)) from None

    return kind._replace(check=check)


def _uuid(value: Json) -> str:
    if not isinstance(value, str) or not _UUID.match(value):
        raise ValueError(f"'{value}' is not a valid UUID")
    return value


def _uuid_list(value: Json) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError(f"'{value}' is not a list")
    items = [_uuid(item) for item in value]
    if len(set(items)) != len(items):
        raise ValueError(f"Duplicate items in the list: '{', '.join(items)}'")
    return items


def _mac(value: Json) -> str:
    if not isinstance(value, str) or not _MAC.match(value):
        raise ValueError(f"'{value}' is not a valid MAC address")
    text = value.lower().replace("-", ":")
    if text in ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"):
        raise ValueError(f"'{value}' is not a valid MAC address")
    return text


def _address(value: Json) -> str:
    if not isinstance(value, str) or "%" in value:
        raise ValueError(f"'{value}' is not a valid IP address")
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        raise ValueError(f"'{value}' is not a valid IP address") from None


def _cidr(value: Json) -> str:
    try:
        if not isinstance(value, str) or "/" not in value or "%" in value:
            raise ValueError
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise Refused(f"'{value}' is not a valid IP subnet") from None


def _pool_prefix(value: Json) -> str:
    try:
        return _cidr(value)
    except ValueError as error:
        raise ValueError(str(error)) from None


def _route_cidr(value: Json) -> str:
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        return str(ipaddress.ip_network(value, strict=True))
    except ValueError:
        raise ValueError(f"'{value}' is not a valid CIDR") from None


def _address_or_cidr(value: Json) -> str:
    """An address stays one; a prefix becomes canonical."""
    return _cidr(value) if isinstance(value, str) and "/" in value else _address(value)


def _prefix(value: Json) -> str | None:
    """An address becomes its /32 or /128; host bits stay, as clients read them back."""
    if value is None:
        return None
    try:
        if not isinstance(value, str) or "%" in value:
            raise ValueError
        interface = ipaddress.ip_interface(value)
    except ValueError:
        raise Refused(f"'{value}' is not a valid CIDR", "InvalidCIDR", input=value) from None
    return str(interface) if "/" in value else f"{interface.ip}/{interface.max_prefixlen}"


def _keys(value: Json, required: Iterable[str], allowed: Iterable[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"'{value}' is not a dictionary")
    missing = sorted(set(required) - value.keys())
    extra = sorted(value.keys() - set(allowed))
    if missing or extra:
        raise ValueError(
            "Validation of dictionary's keys failed. "
            f"Expected keys: {sorted(set(required))} Provided keys: {sorted(value)}"
        )
    return value


def list_of(name: str, item: Check, schema: Mapping[str, Any], *, unique: bool = False) -> Kind:
    """A list; null counts as the empty one. Doubles are refused where `unique`."""

    def check(value: Json) -> list[Json]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise Refused(f"Invalid data format for {name}: '{value}'")
        items = [item(entry) for entry in value]
        if unique:
            for position, entry in enumerate(items):
                if entry in items[:position]:
                    raise ValueError(f"Duplicate {name} '{entry}'")
        return items

    return Kind(f"list of {name}", check, {"type": "array", "items": dict(schema)})


def _pool(value: Json) -> dict[str, str]:
    pool = _keys(value, ("start", "end"), ("start", "end"))
    return {"start": _address(pool["start"]), "end": _address(pool["end"])}


def _hostroute(value: Json) -> dict[str, str]:
    route = _keys(value, ("destination", "nexthop"), ("destination", "nexthop"))
    return {
        "destination": _route_cidr(route["destination"]),
        "nexthop": _address(route["nexthop"]),
    }


def _fixed_ip(value: Json) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"Invalid data format for fixed IP: '{value}'")
    checks: dict[str, Check] = {
        "ip_address": _address,
        "subnet_id": _uuid,
        "ip_address_substr": _string(64),
    }
    unknown = sorted(value.keys() - checks.keys())
    if unknown or not value:
        raise ValueError(f"Invalid data format for fixed IP: '{value}'")
    return {key: checks[key](entry) for key, entry in value.items()}


def _service_type(value: Json) -> str:
    """A kind of device owner. Neutron looks for `network:`, `neutron:`, and, where it means
    `compute:`, for any letter of that: clients live with it, and use `test:`, say."""
    if not isinstance(value, str):
        raise Refused("not a string", "InvalidInputSubnetServiceType", service_type=value)
    if not value.startswith(("network:", "neutron:", *"compute:")):
        raise Refused("no owner", "InvalidSubnetServiceType", service_type=value)
    return _string(255)(value)  # type: ignore[no-any-return]


def _address_pair(value: Json) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError(f"'{value}' is not a dictionary")
    if "ip_address" not in value:
        raise Refused("AllowedAddressPair must contain ip_address", "AllowedAddressPairsMissingIP")
    extra = sorted(value.keys() - {"ip_address", "mac_address"})
    if extra:
        raise ValueError(f"Unrecognized attribute(s) '{', '.join(extra)}'")
    pair = {"ip_address": _address_or_cidr(value["ip_address"])}
    if ipaddress.ip_network(pair["ip_address"], strict=False).is_multicast:
        raise ValueError(f"IP {pair['ip_address']} is a multicast address, which is not supported.")
    if value.get("mac_address") is not None:
        pair["mac_address"] = _mac(value["mac_address"])
    return pair


def _dhcp_option(value: Json) -> dict[str, Any]:
    try:
        option = _keys(value, ("opt_name", "opt_value"), ("opt_name", "opt_value", "ip_version"))
        version = one_of(4, 6, convert=_to_int).check(option.get("ip_version", 4))
    except ValueError as error:
        raise Refused(str(error)) from None
    name = _string(255, blank=False)(option["opt_name"])
    given = option["opt_value"]
    if given is not None:
        given = _string(255, blank=name in ("router", "classless-static-route"))(given)
    return {"opt_name": name, "opt_value": given, "ip_version": version}


def _segment(value: Json) -> dict[str, Any]:
    names = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")
    segment = _keys(value, (), names)
    number = segment.get(names[2])
    return {
        names[0]: string_or_none(32).check(segment.get(names[0])),
        names[1]: string_or_none(64).check(segment.get(names[1])),
        names[2]: None if number is None else _to_int(number),
    }


def _gateway(value: Json) -> dict[str, Any] | None:
    if value is None or value == {}:
        return None
    if not isinstance(value, dict):
        raise ValueError(f"'{value}' is not a dictionary")
    extra = sorted(value.keys() - {"network_id", "external_fixed_ips", "enable_snat"})
    if extra:
        raise ValueError(f"Unexpected keys supplied: {', '.join(extra)}")
    if "network_id" not in value:
        raise ValueError("the external gateway needs a network_id")
    gateway: dict[str, Any] = {"network_id": _uuid(value["network_id"])}
    if value.get("external_fixed_ips") is not None:
        gateway["external_fixed_ips"] = FIXED_IPS.check(value["external_fixed_ips"])
    if "enable_snat" in value:
        gateway["enable_snat"] = _boolean(value["enable_snat"])
    return gateway


def _object(value: Json) -> dict[str, Any]:
    if value is None or value == "":
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"'{value}' is not a dictionary")
    return value


def _dns_name(value: Json) -> str:
    text: str = _string(255)(value).lower()
    if text and not all(_LABEL.match(label) for label in text.rstrip(".").split(".")):
        raise ValueError(
            f"'{value}' not a valid PQDN or FQDN. Reason: each part may have letters, digits and "
            "hyphens, up to 63 of them"
        )
    return text


def _dns_domain(value: Json) -> str:
    text = _dns_name(value)
    if text and not text.endswith("."):
        raise ValueError(f"'{value}' is not a FQDN: it must end with a dot")
    return text


def _port_range(value: Json) -> str | None:
    if value is None:
        return None
    match = _PORTS.match(str(value)) if isinstance(value, str | int) else None
    if match is None:
        single = integer(1, 65535).check(value)
        return f"{single}:{single}"
    low, high = (integer(1, 65535).check(part) for part in match.groups())
    if low > high:
        raise ValueError("First port in a port range must be lower than the second port")
    return f"{low}:{high}"


def _tag(value: Json) -> str:
    text: str = _string(255)(value)
    if "," in text:
        raise ValueError(f"'{text}' contains a comma, which separates tags in filters")
    return text


NAME = string(255)
DESCRIPTION = string(255)
PROJECT = string(255)
NAME_NOT_DEFAULT = Kind("name", _name_not_default, {"type": "string", "maxLength": 255})
BOOLEAN = Kind("boolean", _boolean, {"type": "boolean"})
UUID = Kind("uuid", _uuid, {"type": "string", "format": "uuid"})
UUID_OR_NONE = optional(UUID)
UUID_LIST = Kind("list of uuids", _uuid_list, {"type": "array", "items": UUID.schema})
MAC = Kind("MAC address", _mac, {"type": "string", "example": "fa:16:3e:00:00:01"})
ADDRESS = Kind("IP address", _address, {"type": "string", "example": "192.0.2.1"})
ADDRESS_OR_NONE = optional(ADDRESS)
CIDR = Kind("prefix", _cidr, {"type": "string", "example": "192.0.2.0/24"})
CIDR_OR_NONE = optional(CIDR)
PREFIX = Kind("prefix or null", _prefix, {"type": "string", "nullable": True})
POOLS = list_of("IP pool", _pool, {"type": "object"})
NAMESERVERS = list_of("nameserver", _address, ADDRESS.schema, unique=True)
HOSTROUTES = list_of("hostroute", _hostroute, {"type": "object"}, unique=True)
FIXED_IPS = list_of("fixed IP", _fixed_ip, {"type": "object"})
ADDRESS_PAIRS = list_of("address pair", _address_pair, {"type": "object"})
DHCP_OPTIONS = list_of("DHCP option", _dhcp_option, {"type": "object"})
SEGMENTS = list_of("segment", _segment, {"type": "object"})
CIDRS = list_of("prefix", _pool_prefix, CIDR.schema, unique=True)
STRINGS = list_of("string", _string(255), {"type": "string"}, unique=True)
SERVICE_TYPES = list_of("service type", _service_type, {"type": "string"}, unique=True)
TAGS = list_of("tag", _tag, {"type": "string"})
GATEWAY = Kind("external gateway", _gateway, {"type": "object", "nullable": True})
OBJECT = Kind("object", _object, {"type": "object"})
DNS_NAME = Kind("DNS name", _dns_name, {"type": "string"})
DNS_DOMAIN = Kind("DNS domain", _dns_domain, {"type": "string"})
PORT_RANGE = Kind("port range", _port_range, {"type": "string", "example": "80:90"})
PORT_OR_NONE = optional(integer(1, 65535))
IP_VERSION = one_of(4, 6, convert=_to_int)
#: Set by the server alone: no check.
OUTPUT = Kind("set by the server", lambda value: value, {})
