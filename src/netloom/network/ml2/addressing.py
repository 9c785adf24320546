"""A port's addresses: which subnets, which addresses, claiming and giving back.

What is asked for is checked; what is left open is chosen: of the subnets of each IP version one
with room, and an address made from the MAC on every subnet whose hosts make their own. A chosen
address that somebody else claims first runs the request again.
"""

from __future__ import annotations

from collections.abc import Sequence

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.errors import bad_request, fail, invalid_input
from netloom.network.ipam.addresses import address_key, from_mac, is_automatic, is_usable
from netloom.network.ipam.choice import choose_address
from netloom.network.lost import Lost

FixedIp = dict[str, str]
ROUTER_INTERFACES = frozenset(
    {
        "network:router_interface",
        "network:router_interface_distributed",
        "network:ha_router_replicated_interface",
        "network:router_centralized_snat",
    }
)


class Addressing:
    """The choice of addresses for one port on one network."""

    def __init__(self, call: Call, network_id: str, port: Document) -> None:
        self._call = call
        self._network_id = network_id
        self._port = port
        self._owner: str = port.get("device_owner", "")
        self._subnets = call.tx.find("subnet", network_id=network_id)

    def choose(self, asked: Sequence[dict[str, str]] | None) -> list[FixedIp]:
        """The addresses of a new port; `asked` is None if the request leaves them open."""
        chosen = self._open() if asked is None else self.chosen(asked, ())
        if self._owner in ROUTER_INTERFACES:
            return chosen
        have = {entry["subnet_id"] for entry in chosen}
        for subnet in self._suitable(self._subnets) if asked is None else self._subnets:
            if is_automatic(subnet) and subnet["id"] not in have:
                chosen.append(self._automatic(subnet))
        return chosen

    def chosen(self, asked: Sequence[dict[str, str]], held: Sequence[FixedIp]) -> list[FixedIp]:
        """An address for each thing that is asked for; those that are `held` need no claim.

        Being asked for a subnet on which the port already has an address keeps that address.
        """
        left = [dict(entry) for entry in held]
        result: list[FixedIp] = []
        waiting: list[tuple[int, dict[str, str]]] = []
        for entry in asked:
            kept = next((one for one in left if _names(entry, one)), None)
            if kept is not None:
                left.remove(kept)
            result.append(kept or {})
            if kept is None:
                waiting.append((len(result) - 1, entry))
        taken = [entry for entry in result if entry]
        for place, entry in waiting:
            result[place] = self._one(entry, taken)
            taken.append(result[place])
        pairs = [(entry["subnet_id"], entry["ip_address"]) for entry in result]
        if len(set(pairs)) != len(pairs):
            raise bad_request("Duplicate IP address in fixed_ips")
        return result

    def _one(self, entry: dict[str, str], taken: Sequence[FixedIp]) -> FixedIp:
        subnet = self._subnet_of(entry)
        address = entry.get("ip_address")
        if address is None:
            if is_automatic(subnet) and self._owner not in ROUTER_INTERFACES:
                return self._automatic(subnet)
            found = self._free([subnet], taken)
            if found is None:
                raise fail("IpAddressGenerationFailure", net_id=self._network_id)
            return found
        if is_automatic(subnet) and self._owner not in ROUTER_INTERFACES:
            if address != from_mac(subnet["cidr"], self._port["mac_address"]):
                raise fail("AllocationOnAutoAddressSubnet", ip=address, subnet_id=subnet["id"])
        elif not is_usable(address, subnet["cidr"], router=self._owner in ROUTER_INTERFACES):
            raise fail("InvalidIpForSubnet", ip_address=address)
        holder = self._call.tx.relations.address_holder(subnet["id"], address_key(address))
        if holder is not None and holder != self._port["id"]:
            raise fail("IpAddressAlreadyAllocated", ip=address, subnet_id=subnet["id"])
        return {"subnet_id": subnet["id"], "ip_address": address}

    def _subnet_of(self, entry: dict[str, str]) -> Document:
        wanted, address = entry.get("subnet_id"), entry.get("ip_address")
        if not self._subnets:
            raise invalid_input("IP allocation requires subnets for network")
        if wanted is not None:
            for subnet in self._subnets:
                if subnet["id"] == wanted:
                    return subnet
            if self._call.tx.get("subnet", wanted) is None:
                raise fail("SubnetNotFound", subnet_id=wanted)
            raise invalid_input(
                f"Failed to create port on network {self._network_id}, because fixed_ips "
                f"included invalid subnet {wanted}"
            )
        if address is None:
            raise invalid_input("IP allocation requires subnet_id or ip_address")
        for subnet in self._subnets:
            if is_usable(address, subnet["cidr"]):
                return subnet
        raise fail("InvalidIpForNetwork", ip_address=address)

    def _open(self) -> list[FixedIp]:
        """One address of each version, where there is a subnet to choose from."""
        chosen: list[FixedIp] = []
        suitable = self._suitable(self._subnets)
        if self._subnets and not suitable:
            raise fail(
                "IpAddressGenerationFailureNoMatchingSubnet",
                network_id=self._network_id,
                service_type=self._owner,
            )
        for version in (4, 6):
            subnets = [
                subnet
                for subnet in suitable
                if subnet["ip_version"] == version and not is_automatic(subnet)
            ]
            if not subnets:
                continue
            found = self._free(subnets, chosen)
            if found is None:
                raise fail("IpAddressGenerationFailure", net_id=self._network_id)
            chosen.append(found)
        return chosen

    def _suitable(self, subnets: Sequence[Document]) -> list[Document]:
        """Subnets for this kind of device: those made for it, or else those for any."""
        made_for = [
            subnet
            for subnet in subnets
            if any(self._owner.startswith(kind) for kind in subnet.get("service_types") or ())
        ]
        anyone = [subnet for subnet in subnets if not subnet.get("service_types")]
        versions = {subnet["ip_version"] for subnet in made_for}
        return made_for + [subnet for subnet in anyone if subnet["ip_version"] not in versions]

    def _free(self, subnets: Sequence[Document], taken: Sequence[FixedIp]) -> FixedIp | None:
        used = self._call.tx.relations.used_addresses
        for subnet in subnets:
            avoid = frozenset(
                entry["ip_address"] for entry in taken if entry["subnet_id"] == subnet["id"]
            )
            address = choose_address(subnet, used, self._call.parts.choose, avoid)
            if address is not None:
                return {"subnet_id": subnet["id"], "ip_address": address}
        return None

    def _automatic(self, subnet: Document) -> FixedIp:
        address = from_mac(subnet["cidr"], self._port["mac_address"])
        return {"subnet_id": subnet["id"], "ip_address": address}


def _names(entry: dict[str, str], held: FixedIp) -> bool:
    """Whether what is asked for is what is held."""
    return all(held.get(key) == entry[key] for key in ("subnet_id", "ip_address") if key in entry)


def claim(call: Call, port_id: str, wanted: Sequence[FixedIp]) -> None:
    """Make the addresses the port's."""
    claims = [(entry["subnet_id"], address_key(entry["ip_address"]), port_id) for entry in wanted]
    if not call.tx.relations.claim_addresses(claims):
        raise Lost(f"an address of port {port_id}")


def reclaim(call: Call, port_id: str, before: Sequence[FixedIp], after: Sequence[FixedIp]) -> None:
    """Give back what the port no longer has, claim what is new."""
    for entry in before:
        if entry not in after:
            call.tx.relations.release_address(
                entry["subnet_id"], address_key(entry["ip_address"]), port_id
            )
    claim(call, port_id, [entry for entry in after if entry not in before])


def generate_mac(call: Call, network_id: str) -> str:
    """A MAC address that no port of the network has: the base, then three random bytes."""
    base = call.settings.base_mac.lower().split(":")
    fixed = 4 if base[3] != "00" else 3
    for _ in range(16):
        tail = [f"{call.parts.choose(256):02x}" for _ in range(6 - fixed)]
        mac = ":".join(base[:fixed] + tail)
        if not call.tx.relations.mac_taken(network_id, mac):
            return mac
    raise fail("MacAddressGenerationFailure", net_id=network_id)
