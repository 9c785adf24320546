"""The extension driver `dns`: names of ports, and the records that follow from them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from netloom.network.document import Change, Document
from netloom.network.errors import bad_request
from netloom.network.settings import Settings


class DnsDriver:
    """`dns_assignment` of a port: one name for each of its addresses."""

    name = "dns"
    aliases = ("dns-integration", "dns-domain-ports")

    def __init__(self, settings: Settings) -> None:
        domain = settings.dns_domain
        self._domain = domain if not domain or domain.endswith(".") else f"{domain}."

    def process(self, change: Change, body: dict[str, Any], network: Document | None) -> None:
        """Complete the records of a port after its addresses are known."""
        after = change.after
        if after is None or change.kind != "port":
            return
        name = after.get("dns_name", "")
        if "dns_name" in body and name.endswith(".") and not name.endswith(f".{self._domain}"):
            raise bad_request(
                f"The dns_name passed is a FQDN. Its higher level labels must be equal to the "
                f"dns_domain option in neutron.conf, that has been set to '{self._domain}'. It "
                "must also include one or more valid DNS labels to the left of that domain."
            )
        after["dns_assignment"] = [
            self._record(name, fixed["ip_address"]) for fixed in after["fixed_ips"]
        ]

    def _record(self, name: str, address: str) -> dict[str, str]:
        host = name.removesuffix(f".{self._domain}") or "host-" + str(ip_address(address)).replace(
            ".", "-"
        ).replace(":", "-")
        return {
            "ip_address": address,
            "hostname": host,
            "fqdn": f"{host}.{self._domain}" if self._domain else host,
        }
