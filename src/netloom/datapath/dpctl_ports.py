"""`dpctl/add-dp`, `add-if` and their like: data paths and ports made by hand (ovs-dpctl(8)).

What exists by these commands belongs to no bridge. Data paths that bridges use are not taken from
under them.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NamedTuple, Protocol

from netloom.base.errors import ConfigError
from netloom.datapath.dpctl_ct import Failure
from netloom.datapath.dpif import LOCAL_PORT, Dpif, DpPort, DpPortNo
from netloom.netdev.device import Device
from netloom.netdev.errors import PortRefused


class DatapathOwner(Protocol):
    """Who makes data paths and opens devices."""

    def find_datapath(self, type_: str, name: str) -> Dpif | None: ...

    def add_datapath(self, type_: str, name: str) -> Dpif:
        """Make a data path; raises Failure."""

    def remove_datapath(self, dpif: Dpif) -> None:
        """Remove one that `add_datapath` made; raises Failure for others."""

    def open_port(self, dpif: Dpif, name: str, type_: str) -> Device:
        """Open a device to be a port; raises ConfigError."""

    def discard_port(self, dpif: Dpif, name: str) -> None:
        """Close a device that was opened and became no port."""

    def close_port(self, dpif: Dpif, number: DpPortNo) -> None:
        """Remove a port and close its device."""


class PortCommand(NamedTuple):
    """One command: `run` does it with the data path's type and name, and the other arguments."""

    name: str
    usage: str
    min_args: int
    max_args: int | None
    run: Callable[[DatapathOwner, str, str, list[str]], list[Failure]]


class _Interface(NamedTuple):
    name: str
    type: str
    number: int | None


def _read(word: str) -> _Interface:
    """`NAME[,type=TYPE][,port_no=N][,KEY=VALUE]...`"""
    name, *options = word.split(",")
    pairs = dict(option.partition("=")[::2] for option in options)
    number = pairs.get("port_no")
    if number is None:
        return _Interface(name, pairs.get("type", ""), None)
    digits = number if number.isascii() and number.isdigit() else "0"
    return _Interface(name, pairs.get("type", ""), int(digits))


def _open(owner: DatapathOwner, type_: str, name: str) -> Dpif:
    dpif = owner.find_datapath(type_, name)
    if dpif is None:
        raise Failure("opening datapath", errno.ENODEV)
    return dpif


def _add_dp(owner: DatapathOwner, type_: str, name: str, args: list[str]) -> list[Failure]:
    owner.add_datapath(type_, name)
    return _add_if(owner, type_, name, args)


def _del_dp(owner: DatapathOwner, type_: str, name: str, args: list[str]) -> list[Failure]:
    owner.remove_datapath(_open(owner, type_, name))
    return []


def _add_if(owner: DatapathOwner, type_: str, name: str, args: list[str]) -> list[Failure]:
    dpif = _open(owner, type_, name)
    return [failure for word in args if (failure := _add(owner, dpif, f"{type_}@{name}", word))]


def _add(owner: DatapathOwner, dpif: Dpif, title: str, word: str) -> Failure | None:
    wanted = _read(word)
    ports = dpif.ports()
    if any(port.name == wanted.name for port in ports):
        return Failure(f"adding {wanted.name} to {title} failed", errno.EEXIST)
    if wanted.number is not None and any(port.number == wanted.number for port in ports):
        return Failure(f"adding {wanted.name} to {title} failed", errno.EBUSY)
    try:
        device = owner.open_port(dpif, wanted.name, wanted.type or "system")
    except ConfigError:
        text = f"{wanted.name}: failed to open network device"
        return Failure(text, errno.EAFNOSUPPORT)
    try:
        dpif.port_add(device, None if wanted.number is None else DpPortNo(wanted.number))
    except ConfigError as error:
        owner.discard_port(dpif, wanted.name)
        code = error.code if isinstance(error, PortRefused) else errno.EINVAL
        return Failure(f"adding {wanted.name} to {title} failed", code)
    return None


def _del_if(owner: DatapathOwner, type_: str, name: str, args: list[str]) -> list[Failure]:
    dpif = _open(owner, type_, name)
    failures = []
    for word in args:
        is_number = word.isascii() and word.isdigit()
        found = _find(dpif, word)
        if found is not None and found.number == LOCAL_PORT:
            text = f"deleting port {word} from {type_}@{name} failed"
            failures.append(Failure(text, errno.EINVAL))
        elif found is not None:
            owner.close_port(dpif, found.number)
        elif is_number:
            text = f"deleting port {word} from {type_}@{name} failed"
            failures.append(Failure(text, errno.ENODEV))
        else:
            failures.append(Failure(f"no port named {word}", 0))
    return failures


def _find(dpif: Dpif, word: str) -> DpPort | None:
    """The port of that number or name."""
    if word.isascii() and word.isdigit():
        return next((port for port in dpif.ports() if port.number == int(word)), None)
    return next((port for port in dpif.ports() if port.name == word), None)


def _set_if(owner: DatapathOwner, type_: str, name: str, args: list[str]) -> list[Failure]:
    """Type and number cannot be changed; other options mean nothing to devices here."""
    dpif = _open(owner, type_, name)
    failures = []
    for word in args:
        wanted = _read(word)
        port = _find(dpif, wanted.name)
        title = wanted.name
        if port is None:
            text = f"{title}: failed to query port in {type_}@{name}"
            failures.append(Failure(text, errno.ENODEV))
        elif wanted.type and wanted.type != port.type:
            text = f"{title}: can't change type from {port.type} to {wanted.type}"
            failures.append(Failure(text, 0))
        elif wanted.number is not None and wanted.number != port.number:
            text = f"{title}: can't change port number from {port.number} to {wanted.number}"
            failures.append(Failure(text, 0))
    return failures


COMMANDS: tuple[PortCommand, ...] = (
    PortCommand("add-dp", "dp [iface...]", 1, None, _add_dp),
    PortCommand("del-dp", "dp", 1, 1, _del_dp),
    PortCommand("add-if", "dp iface...", 2, None, _add_if),
    PortCommand("del-if", "dp iface...", 2, None, _del_if),
    PortCommand("set-if", "dp iface...", 2, None, _set_if),
)
