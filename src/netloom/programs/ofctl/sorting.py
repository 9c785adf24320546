"""--sort and --rsort of dump-flows."""

from __future__ import annotations

from netloom.flow.fields import FIELD
from netloom.flow.prerequisites import prerequisites_met
from netloom.openflow.messages import FlowStats


def sort_flows(flows: list[FlowStats], criteria: list[tuple[str, bool]]) -> None:
    """Sorts in place by (field, descending); flows without the field come last. The field "" or
    "priority" is the priority, which also decides, highest first, among equals."""
    if not criteria:
        return
    for field_name, descending in reversed([*criteria, ("", True)]):
        if field_name in ("", "priority"):
            flows.sort(key=lambda flow: flow.priority, reverse=descending)
        else:
            _sort_by_field(flows, field_name, descending)


def _sort_by_field(flows: list[FlowStats], name: str, descending: bool) -> None:
    field = FIELD[name]

    def has(flow: FlowStats) -> bool:
        return bool(flow.match.mask & field.mask) and prerequisites_met(field, flow.match)

    # Sorting in reverse keeps equals in their order.
    flows.sort(key=lambda flow: field.get(flow.match.value), reverse=descending)
    with_field = [flow for flow in flows if has(flow)]
    flows[:] = with_field + [flow for flow in flows if not has(flow)]
