"""The segments of a network: what a request asks for, what a tenant gets, claiming, MTU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netloom.network.call import Call
from netloom.network.document import Document
from netloom.network.errors import fail, invalid_input
from netloom.network.lost import Lost
from netloom.network.ml2.interfaces import Segment, TypeDriver

PROVIDER = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")


def segments_of(network: Document) -> list[Segment]:
    """The segments that a stored network has."""
    return [
        Segment(entry["network_type"], entry["physical_network"], entry["segmentation_id"])
        for entry in network.get("_segments", ())
    ]


def wanted_segments(body: dict[str, Any]) -> list[Segment]:
    """The segments that a request names; none if it leaves them to the service."""
    single = [body.get(name) for name in PROVIDER]
    several = body.get("segments") or []
    if several and any(value is not None for value in single):
        raise fail("SegmentsSetInConjunctionWithProviders")
    if several:
        wanted = [_wanted([entry[name] for name in PROVIDER]) for entry in several]
        if len(set(wanted)) != len(wanted):
            raise fail("SegmentsContainDuplicateEntry")
        return wanted
    return [_wanted(single)] if any(value is not None for value in single) else []


def _wanted(values: Sequence[Any]) -> Segment:
    network_type, physical, number = values
    if not network_type:
        raise invalid_input("network_type required")
    return Segment(network_type, physical, number)


def choose_segments(call: Call, body: dict[str, Any]) -> list[Segment]:
    """Segments for a new network: the wanted ones completed, or one of the tenants' types."""
    wanted = wanted_segments(body)
    external = call.settings.external_network_type
    if not wanted and body.get("router:external") and external:
        wanted = [Segment(external)]
    if wanted:
        return [_complete(call, segment) for segment in wanted]
    for name in call.settings.tenant_network_types:
        found = _driver(call, name).choose(Segment(name), call.tx, call.parts.choose)
        if found is not None:
            return [found]
    raise fail("NoNetworkAvailable")


def _driver(call: Call, network_type: str) -> TypeDriver:
    driver = call.parts.drivers.types.get(network_type)
    if driver is None:
        raise invalid_input(f"network_type value '{network_type}' not supported")
    return driver


def _complete(call: Call, wanted: Segment) -> Segment:
    driver = _driver(call, wanted.network_type)
    driver.check(wanted)
    found = driver.choose(wanted, call.tx, call.parts.choose)
    if found is None:
        raise fail("NoNetworkAvailable")
    return found


def claim_segments(
    call: Call, network_id: str, chosen: Sequence[Segment], wanted: Sequence[Segment]
) -> None:
    """Make the segments the network's. A lost choice runs the request again; what was asked for
    by number is refused."""
    for index, segment in enumerate(chosen):
        driver = _driver(call, segment.network_type)
        if not driver.claim(segment, network_id, call.tx):
            if index < len(wanted) and wanted[index] == segment:
                raise driver.taken(segment)
            raise Lost(f"segment {segment}")


def release_segments(call: Call, network: Document) -> None:
    """Give a network's segments back."""
    for segment in segments_of(network):
        if segment.network_type in call.parts.drivers.types:
            _driver(call, segment.network_type).release(segment, network["id"], call.tx)


def network_mtu(call: Call, segments: Sequence[Segment], asked: int) -> int:
    """The asked MTU if the segments can carry it, or what they carry."""
    largest = min(
        (_driver(call, entry.network_type).mtu(entry.physical_network) for entry in segments),
        default=call.settings.global_physnet_mtu,
    )
    if asked and largest and asked > largest:
        raise invalid_input(f"Requested MTU is too big, maximum is {largest}")
    return asked or largest


def stored_segments(call: Call, segments: Sequence[Segment]) -> list[dict[str, Any]]:
    """Segments as a network's document has them."""
    return [
        {
            "id": call.parts.new_id(),
            "network_type": segment.network_type,
            "physical_network": segment.physical_network,
            "segmentation_id": segment.segmentation_id,
        }
        for segment in segments
    ]


def provider_view(network: Document) -> dict[str, Any]:
    """What administrators see of the segments."""
    entries = [
        dict(zip(PROVIDER, (one.network_type, one.physical_network, one.segmentation_id)))
        for one in segments_of(network)
    ]
    if len(entries) == 1:
        return entries[0]
    return {"segments": entries}
