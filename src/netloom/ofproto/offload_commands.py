"""`dpif/offload/show`, `dpif/offload/classes`: hardware that runs flows, and its ports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from netloom.datapath.dpif import full_name
from netloom.datapath.offload import CLASSES, OffloadedPort, OffloadPolicy, Provider

if TYPE_CHECKING:
    from netloom.datapath.dpif import Dpif
    from netloom.ofproto.backer import Backer

    Row = tuple[str, str, int, int | None, Callable[[list[str]], str]]


class OffloadCommands:
    """The commands over the backers that `backers` returns."""

    def __init__(self, backers: Callable[[], Sequence[Backer]], policy: OffloadPolicy) -> None:
        self._backers = backers
        self._policy = policy

    def commands(self) -> list[Row]:
        """Name, usage, least and most arguments, handler."""
        return [
            ("dpif/offload/show", "", 0, 0, self._show),
            ("dpif/offload/classes", "", 0, 0, _classes),
        ]

    def answers(self) -> dict[str, Callable[[list[str]], Any]]:
        """What is answered to who asks for JSON."""
        return {"dpif/offload/show": self._describe}

    def _show(self, args: list[str]) -> str:
        enabled = "true" if self._policy.enabled else "false"
        lines = [f"Globally enabled: {enabled}\nDatapaths:\n"]
        for dpif in self._dpifs():
            lines.append(f"{full_name(dpif)}:\n")
            for provider in _providers(dpif):
                lines.append(f"  {provider.type}\n")
                lines += map(_show_port, provider.ports())
        return "".join(lines)

    def _describe(self, args: list[str]) -> dict[str, Any]:
        described = {full_name(dpif): _describe_dpif(dpif) for dpif in self._dpifs()}
        return {**described, "enabled": self._policy.enabled}

    def _dpifs(self) -> list[Dpif]:
        return sorted([backer.dpif for backer in self._backers()], key=full_name)


def _providers(dpif: Dpif) -> Sequence[Provider]:
    return dpif.hardware.providers if dpif.hardware is not None else ()


def _counts(port: OffloadedPort) -> dict[str, int]:
    return {
        "rx_offload_partial": port.recognised,
        "rx_offload_full": port.carried,
        "rx_offload_miss": port.missed,
        "rx_offload_pipe_abort": port.aborted,
    }


def _show_port(port: OffloadedPort) -> str:
    lines = [f"    {name:21}: {count}\n" for name, count in _counts(port).items()]
    return "".join([f"  - {port.name}: port_no: {port.number}\n", *lines])


def _describe_dpif(dpif: Dpif) -> dict[str, Any]:
    providers = _providers(dpif)
    return {
        "priority": [provider.type for provider in providers],
        "providers": {provider.type: _describe_provider(provider) for provider in providers},
    }


def _describe_provider(provider: Provider) -> dict[str, Any]:
    ports = {port.name: {"port_no": port.number, **_counts(port)} for port in provider.ports()}
    return {"ports": ports} if ports else {}


def _classes(args: list[str]) -> str:
    rows = ["Offload Class     Supported dpif class(es)\n", f"{'-' * 16}  {'-' * 24}\n"]
    return "".join([*rows, *(f"{name:<16}  {type_}\n" for name, type_ in sorted(CLASSES.items()))])
