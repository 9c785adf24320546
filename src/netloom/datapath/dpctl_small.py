"""`dpctl/cache-get-size`, `offload-stats-show`, `normalize-actions`."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from itertools import groupby

from netloom.base.errors import ConfigError
from netloom.datapath import actions as dp
from netloom.datapath.action_parse import parse_actions
from netloom.datapath.action_text import format_actions
from netloom.datapath.dpctl_ct import Failure
from netloom.datapath.offload import Hardware
from netloom.flow.fields import SLOT, VLAN_CFI
from netloom.flow.odp_parse import parse_odp_flow
from netloom.flow.odp_table import ATTRIBUTE_MASKS
from netloom.flow.odp_text import format_odp_flow

_TAGS = (
    (SLOT["vlan_tpid"], SLOT["vlan_tci"]),
    (SLOT["vlan1_tpid"], SLOT["vlan1_tci"]),
)
_NO_TAG = (0, 0)
_PLAIN_TAG = 0x8100
#: The type and TCI of each tag, and the outermost label.
_State = tuple[tuple[tuple[int, int], ...], int]
_LABEL = SLOT["mpls_lse0"]


def cache_sizes(title: str) -> str:
    """Data paths in user space have no caches whose size could be told."""
    return f"{title}:\n"


def refuse_cache_size() -> Failure:
    return Failure("Setting caches not supported", errno.EOPNOTSUPP)


def describe_offload(name: str, hardware: Hardware | None) -> str:
    """What each provider of hardware has of the data path `name`, while flows are offloaded."""
    lines = ["HW Offload stats:\n"]
    providers = hardware.providers if hardware is not None and hardware.policy.enabled else ()
    for provider in sorted(providers, key=lambda one: one.type):
        lines.append(f"  {provider.type}[{name}]:\n")
        lines.append(f"    Offloaded port count: {len(list(provider.ports())):6d}\n")
    return "".join(lines)


def normalize_actions(flow: str, actions: str, ports: Mapping[str, int]) -> str:
    """The actions on a packet of `flow`, gathered by the tags and labels that it has when they
    run: lists that differ in the order of independent outputs become equal. Raises Failure."""
    try:
        key, _ = parse_odp_flow(flow, ports)
        parsed = parse_actions(actions, ports)
    except ConfigError as error:
        raise Failure(f"odp_flow_key_from_string ({error})", errno.EINVAL) from error
    groups: dict[_State, list[dp.DpAction]] = {}
    state: _State = (tuple((tpid.get(key), tci.get(key)) for tpid, tci in _TAGS), _LABEL.get(key))
    for action in parsed:
        changed = _STATES.get(type(action))
        if changed is None:
            groups.setdefault(state, []).append(action)
        else:
            state = changed(action, state)
    text = f"input flow: {format_odp_flow(key, _named_bits(flow), None, False)}\n"
    for tags, label in sorted(groups):
        members = _in_port_order(groups[tags, label])
        text += f"{_tags(tags)}{_mpls(label)}: {format_actions(members)}"
    return text + "\n"


def _in_port_order(members: list[dp.DpAction]) -> tuple[dp.DpAction, ...]:
    """Outputs with nothing between them by their ports' numbers, all else where it is."""
    found: list[dp.DpAction] = []
    for _, run in groupby(members, type):
        found += sorted(run, key=lambda action: action.port if type(action) is dp.Output else 0)
    return tuple(found)


def _named_bits(flow: str) -> int:
    """All bits of the attributes that the text of a flow names."""
    return sum(
        bits for name, bits in ATTRIBUTE_MASKS.items() if f",{name}(" in "," + flow.replace(" ", "")
    )


def _push_vlan(action: dp.DpAction, state: _State) -> _State:
    assert isinstance(action, dp.PushVlan)
    # Tags that are further inside than any flow tells are forgotten.
    return ((action.tpid, action.tci | VLAN_CFI), *state[0])[: len(_TAGS)], state[1]


def _pop_vlan(action: dp.DpAction, state: _State) -> _State:
    return (*state[0][1:], _NO_TAG), state[1]


def _push_mpls(action: dp.DpAction, state: _State) -> _State:
    assert isinstance(action, dp.PushMpls)
    return state[0], action.lse


_STATES: dict[type[dp.DpAction], Callable[[dp.DpAction, _State], _State]] = {
    dp.PushVlan: _push_vlan,
    dp.PopVlan: _pop_vlan,
    dp.PushMpls: _push_mpls,
    dp.PopMpls: lambda action, state: (state[0], 0),
}


def _tags(tags: tuple[tuple[int, int], ...]) -> str:
    text = ""
    for tpid, tci in tags:
        if not tci & VLAN_CFI:
            break
        kind = f"tpid=0x{tpid:04x}," if tpid != _PLAIN_TAG else ""
        text += f"vlan({kind}vid={tci & 0xFFF},pcp={tci >> 13}): "
    return text or "no vlan: "


def _mpls(lse: int) -> str:
    if not lse:
        return "no mpls"
    return f"mpls(label={lse >> 12},tc={lse >> 9 & 7},ttl={lse & 0xFF},bos={lse >> 8 & 1})"
