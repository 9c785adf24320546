"""The extension driver `port_security`: whether a port's packets are checked at all."""

from __future__ import annotations

from typing import Any

from netloom.network.document import Change, Document
from netloom.network.settings import Settings

#: Ports of the service itself are trusted.
TRUSTED_OWNERS = "network:"


class PortSecurityDriver:
    """Networks say what their ports get; ports may say otherwise."""

    name = "port_security"
    aliases = ("port-security",)

    def __init__(self, settings: Settings) -> None:
        self._enabled = settings.enable_security_group

    def process(self, change: Change, body: dict[str, Any], network: Document | None) -> None:
        """Give a new port its network's setting, unless the request or its owner decides."""
        after = change.after
        if after is None or change.kind != "port" or change.operation != "create":
            return
        if after["device_owner"].startswith(TRUSTED_OWNERS):
            after["port_security_enabled"] = False
        elif "port_security_enabled" not in body:
            after["port_security_enabled"] = bool(
                network is None or network.get("port_security_enabled", True)
            )
