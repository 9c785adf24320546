"""`lab.yml`: what a lab of several hosts consists of.

The file is read into frozen values and nothing else happens: what is wrong with it is said before
anything is made, with the line. Names refer to other parts of the file and are checked as well.
`docs/lab.md` shows every key. The keys of a section are in one table below, from which unknown
ones, missing ones and values of the wrong type are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_interface, ip_network
from pathlib import Path
from typing import Any

from netloom.base.errors import ConfigError, Unsupported

TUNNELS = ("vxlan", "gre", "geneve")
DATAPATHS = ("kernel", "userspace")
NETWORK_TYPES = ("flat", "vlan", "vxlan", "gre", "geneve", "local")
#: Characters of a name that becomes part of namespaces and directories (socket paths are short).
NAME_LENGTH = 16


@dataclass(frozen=True, slots=True)
class HostPlan:
    """A host: physical networks that it is on, and whether it has the DHCP and L3 agents."""

    physical: tuple[str, ...] = ("physnet1",)
    network_node: bool = False


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """A network and its subnets (prefixes). `outside` is an address with prefix length that the
    lab itself has on an external network: what machines reach there."""

    subnets: tuple[str, ...] = ()
    type: str = ""
    physical: str = ""
    segment: int = 0
    external: bool = False
    outside: str = ""


@dataclass(frozen=True, slots=True)
class RouterPlan:
    """A router: networks that it joins, and the external network that it leads to."""

    networks: tuple[str, ...] = ()
    gateway: str = ""


@dataclass(frozen=True, slots=True)
class RulePlan:
    """What a group lets in."""

    protocol: str = ""
    ports: str = ""
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class MachinePlan:
    """A machine: a port of `network`, at `host`; `floating` names an external network."""

    host: str
    network: str
    groups: tuple[str, ...] = ()
    floating: str = ""


@dataclass(frozen=True, slots=True)
class LabPlan:
    """The whole file."""

    name: str
    hosts: Mapping[str, HostPlan]
    datapath: str = ""
    tunnels: tuple[str, ...] = ()
    l2_population: bool = True
    underlay_mtu: int = 1500
    networks: Mapping[str, NetworkPlan] = field(default_factory=dict)
    routers: Mapping[str, RouterPlan] = field(default_factory=dict)
    groups: Mapping[str, tuple[RulePlan, ...]] = field(default_factory=dict)
    vms: Mapping[str, MachinePlan] = field(default_factory=dict)


class Place:
    """A value of the file, and the line where it is."""

    __slots__ = ("line", "source", "value")

    def __init__(self, value: Any, line: int, source: str) -> None:
        self.value = value
        self.line = line
        self.source = source

    def wrong(self, text: str) -> ConfigError:
        """The error that names this place."""
        return ConfigError(text, f"{self.source}:{self.line}")

    def entries(self, what: str) -> dict[str, Place]:
        """The entries of a mapping; an empty value counts as one without entries."""
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.wrong(f"{what} must be a mapping")
        return self.value

    def items(self, what: str) -> list[Place]:
        """The items of a list."""
        if not isinstance(self.value, list):
            raise self.wrong(f"{what} must be a list")
        return self.value


Reader = Callable[[str, Place], Any]


def read_plan(path: Path) -> LabPlan:
    """The plan in a file; `ConfigError` with the line of what is wrong."""
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None
    return parse_plan(text, str(path))


def parse_plan(text: str, source: str = "lab.yml") -> LabPlan:
    """The plan in a text."""
    top = _places(text, source)
    values = _section(top, "the file", TOP)
    for key in ("name", "hosts"):
        if not values.get(key):
            raise top.wrong(f"a lab needs '{key}'")
    plan = LabPlan(**values)
    _check_names(plan, top)
    return plan


def _places(text: str, source: str) -> Place:
    try:
        import yaml
    except ImportError:
        raise Unsupported("lab files need PyYAML (pip install netloom[network])", "yaml") from None

    def convert(node: Any) -> Place:
        line = node.start_mark.line + 1
        if isinstance(node, yaml.MappingNode):
            entries: dict[str, Place] = {}
            for key, value in node.value:
                name = str(key.value)
                if name in entries:
                    where = Place(None, key.start_mark.line + 1, source)
                    raise where.wrong(f"'{name}' is there twice")
                entries[name] = convert(value)
            return Place(entries, line, source)
        if isinstance(node, yaml.SequenceNode):
            return Place([convert(one) for one in node.value], line, source)
        return Place(loader.construct_object(node), line, source)

    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        return convert(node) if node is not None else Place({}, 1, source)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"not YAML: {error.problem}", f"{source}:{line}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"not YAML: {error}", source) from None
    finally:
        loader.dispose()


def _section(place: Place, what: str, table: Mapping[str, tuple[str, Reader]]) -> dict[str, Any]:
    values = {}
    for key, entry in place.entries(what).items():
        if key not in table:
            raise entry.wrong(f"unknown key '{key}' in {what}; known: {', '.join(sorted(table))}")
        attribute, reader = table[key]
        values[attribute] = reader(key, entry)
    return values


# Readers of values


def _text(key: str, place: Place) -> str:
    if not isinstance(place.value, str) or not place.value:
        raise place.wrong(f"'{key}' must be a text, not {place.value!r}")
    return place.value


def _name(key: str, place: Place) -> str:
    name = _text(key, place)
    if not name.replace("-", "").isalnum() or not name.isascii() or len(name) > NAME_LENGTH:
        raise place.wrong(f"'{name}' is no name: letters, digits, '-', at most {NAME_LENGTH}")
    return name


def _flag(key: str, place: Place) -> bool:
    if not isinstance(place.value, bool):
        raise place.wrong(f"'{key}' must be true or false, not {place.value!r}")
    return place.value


def _number(low: int, high: int) -> Reader:
    def read(key: str, place: Place) -> int:
        value = place.value
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise place.wrong(f"'{key}' must be a number from {low} to {high}, not {value!r}")
        return value

    return read


def _choice(*choices: str) -> Reader:
    def read(key: str, place: Place) -> str:
        if place.value not in choices:
            raise place.wrong(f"'{key}' must be one of {', '.join(choices)}, not {place.value!r}")
        return str(place.value)

    return read


def _many(reader: Reader) -> Reader:
    def read(key: str, place: Place) -> tuple[Any, ...]:
        return tuple(reader(key, one) for one in place.items(f"'{key}'"))

    return read


def _prefix(key: str, place: Place) -> str:
    try:
        return str(ip_network(_text(key, place)))
    except ValueError as error:
        raise place.wrong(f"'{key}': {error}") from None


def _address(key: str, place: Place) -> str:
    text = _text(key, place)
    try:
        ip_interface(text)
    except ValueError as error:
        raise place.wrong(f"'{key}': {error}") from None
    if "/" not in text:
        raise place.wrong(f"'{key}' needs a prefix length: {text}/24")
    return text


def _ports(key: str, place: Place) -> str:
    low, _, high = str(place.value).partition("-")
    numbers = [int(one) if one.isascii() and one.isdigit() else 0 for one in (low, high or low)]
    if not 0 < numbers[0] <= numbers[1] < 65536:
        raise place.wrong(f"'{key}' must be a port or a range like 80-90, not {place.value!r}")
    return f"{numbers[0]}-{numbers[1]}"


def _named(make: Callable[..., Any], table: Mapping[str, tuple[str, Reader]], *need: str) -> Reader:
    """Reader of a mapping from names to sections."""

    def read(key: str, place: Place) -> dict[str, Any]:
        found = {}
        for name, entry in place.entries(f"'{key}'").items():
            _name(key, Place(name, entry.line, entry.source))
            found[name] = _made(make, table, need, f"'{name}'", entry)
        return found

    return read


def _made(
    make: Callable[..., Any],
    table: Mapping[str, tuple[str, Reader]],
    need: Iterable[str],
    what: str,
    place: Place,
) -> Any:
    values = _section(place, what, table)
    for key in need:
        if key not in values:
            raise place.wrong(f"{what} needs '{key}'")
    return make(**values)


def _rule_sets(key: str, place: Place) -> dict[str, tuple[RulePlan, ...]]:
    found = {}
    for name, entry in place.entries(f"'{key}'").items():
        rules = entry.items(f"'{name}'")
        found[name] = tuple(_made(RulePlan, RULE, (), f"a rule of '{name}'", one) for one in rules)
    return found


HOST: Mapping[str, tuple[str, Reader]] = {
    "physical": ("physical", _many(_name)),
    "network_node": ("network_node", _flag),
}
NETWORK: Mapping[str, tuple[str, Reader]] = {
    "subnets": ("subnets", _many(_prefix)),
    "type": ("type", _choice(*NETWORK_TYPES)),
    "physical": ("physical", _name),
    "segment": ("segment", _number(1, (1 << 24) - 1)),
    "external": ("external", _flag),
    "outside": ("outside", _address),
}
ROUTER: Mapping[str, tuple[str, Reader]] = {
    "networks": ("networks", _many(_text)),
    "gateway": ("gateway", _text),
}
RULE: Mapping[str, tuple[str, Reader]] = {
    "protocol": ("protocol", _choice("icmp", "ipv6-icmp", "tcp", "udp", "sctp")),
    "ports": ("ports", _ports),
    "from": ("prefix", _prefix),
}
VM: Mapping[str, tuple[str, Reader]] = {
    "host": ("host", _text),
    "network": ("network", _text),
    "groups": ("groups", _many(_text)),
    "floating": ("floating", _text),
}
TOP: Mapping[str, tuple[str, Reader]] = {
    "name": ("name", _name),
    "datapath": ("datapath", _choice(*DATAPATHS)),
    "tunnels": ("tunnels", _many(_choice(*TUNNELS))),
    "l2_population": ("l2_population", _flag),
    "underlay_mtu": ("underlay_mtu", _number(1280, 9000)),
    "hosts": ("hosts", _named(HostPlan, HOST)),
    "networks": ("networks", _named(NetworkPlan, NETWORK)),
    "routers": ("routers", _named(RouterPlan, ROUTER)),
    "security_groups": ("groups", _rule_sets),
    "vms": ("vms", _named(MachinePlan, VM, "host", "network")),
}


# References


def _check_names(plan: LabPlan, top: Place) -> None:
    for section, name, key, value, known in _references(plan):
        if value not in known:
            place = top.value[section].value[name].value[key]
            there = ", ".join(sorted(known)) or "none"
            raise place.wrong(f"'{name}': no such {key.rstrip('s')} '{value}' (there are: {there})")
    for name in plan.vms:
        if name in plan.hosts:
            raise top.value["vms"].value[name].wrong(f"'{name}' is a host as well")
    if (plan.routers or any(n.subnets for n in plan.networks.values())) and not any(
        host.network_node for host in plan.hosts.values()
    ):
        place = top.value["hosts"]
        raise place.wrong("routers and DHCP need a host with 'network_node: true'")


def _references(plan: LabPlan) -> Iterable[tuple[str, str, str, str, Iterable[str]]]:
    """(section, name, key, what it refers to, what there is)."""
    outer = [name for name, network in plan.networks.items() if network.external]
    physical = {one for host in plan.hosts.values() for one in host.physical}
    for name, network in plan.networks.items():
        if network.physical:
            yield "networks", name, "physical", network.physical, physical
    for name, router in plan.routers.items():
        for network_name in router.networks:
            yield "routers", name, "networks", network_name, plan.networks
        if router.gateway:
            yield "routers", name, "gateway", router.gateway, outer
    for name, vm in plan.vms.items():
        yield "vms", name, "host", vm.host, plan.hosts
        yield "vms", name, "network", vm.network, plan.networks
        for group in vm.groups:
            yield "vms", name, "groups", group, plan.groups
        if vm.floating:
            yield "vms", name, "floating", vm.floating, outer
