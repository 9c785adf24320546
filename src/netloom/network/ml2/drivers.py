"""Loading drivers by entry points, and the set of those that a configuration names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from netloom.base.errors import ConfigError
from netloom.network.ml2.interfaces import ExtensionDriver, MechanismDriver, TypeDriver
from netloom.network.settings import Settings

GROUPS = MappingProxyType(
    {
        "type_drivers": "netloom.ml2.type_drivers",
        "mechanism_drivers": "netloom.ml2.mechanism_drivers",
        "extension_drivers": "netloom.ml2.extension_drivers",
    }
)
_HERE = "netloom.network.ml2"
#: Entry points that are there even where the package is not installed, only imported.
BUILT_IN: tuple[EntryPoint, ...] = (
    EntryPoint("local", f"{_HERE}.types.local:LocalType", GROUPS["type_drivers"]),
    EntryPoint("flat", f"{_HERE}.types.flat:FlatType", GROUPS["type_drivers"]),
    EntryPoint("vlan", f"{_HERE}.types.vlan:VlanType", GROUPS["type_drivers"]),
    EntryPoint("gre", f"{_HERE}.types.tunnels:gre", GROUPS["type_drivers"]),
    EntryPoint("vxlan", f"{_HERE}.types.tunnels:vxlan", GROUPS["type_drivers"]),
    EntryPoint("geneve", f"{_HERE}.types.tunnels:geneve", GROUPS["type_drivers"]),
    EntryPoint(
        "openvswitch",
        f"{_HERE}.mechanisms.openvswitch:OpenvswitchDriver",
        GROUPS["mechanism_drivers"],
    ),
    EntryPoint(
        "l2population",
        f"{_HERE}.mechanisms.l2population:L2populationDriver",
        GROUPS["mechanism_drivers"],
    ),
    EntryPoint(
        "port_security",
        f"{_HERE}.extensions.port_security:PortSecurityDriver",
        GROUPS["extension_drivers"],
    ),
    EntryPoint("dns", f"{_HERE}.extensions.dns:DnsDriver", GROUPS["extension_drivers"]),
    # Neutron's driver of this name adds a domain for each port to what "dns" does; here ports
    # always have one.
    EntryPoint(
        "dns_domain_ports", f"{_HERE}.extensions.dns:DnsDriver", GROUPS["extension_drivers"]
    ),
)


@dataclass(frozen=True, slots=True)
class Drivers:
    """The drivers of a service, in the order of its configuration."""

    types: MappingProxyType[str, TypeDriver]
    mechanisms: tuple[MechanismDriver, ...]
    extensions: tuple[ExtensionDriver, ...]


def load_drivers(settings: Settings, extra: Iterable[EntryPoint] = ()) -> Drivers:
    """The drivers that the settings name; `ConfigError` for one that is not there or not fit."""

    def load(option: str, names: tuple[str, ...]) -> list[Any]:
        group = GROUPS[option]
        found = {entry.name: entry for entry in BUILT_IN if entry.group == group}
        found |= {entry.name: entry for entry in entry_points(group=group)}
        found |= {entry.name: entry for entry in extra if entry.group == group}
        loaded = []
        for name in names:
            if name not in found:
                known = ", ".join(sorted(found))
                raise ConfigError(f"no driver '{name}' (there are {known})", f"[ml2] {option}")
            try:
                loaded.append(found[name].load()(settings))
            except (ImportError, AttributeError, TypeError) as error:
                raise ConfigError(f"driver '{name}': {error}", f"[ml2] {option}") from error
        return loaded

    types = load("type_drivers", settings.type_drivers)
    missing = [name for name in settings.tenant_network_types if name not in settings.type_drivers]
    if missing:
        raise ConfigError(f"'{missing[0]}' is not among type_drivers", "[ml2] tenant_network_types")
    return Drivers(
        MappingProxyType({driver.name: driver for driver in types}),
        tuple(load("mechanism_drivers", settings.mechanism_drivers)),
        tuple(load("extension_drivers", settings.extension_drivers)),
    )
