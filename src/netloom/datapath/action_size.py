"""How many bytes a list of actions has where it is written as netlink attributes.

Open vSwitch ends a walk through tables that has come to more than 64 kB of actions, and hands each
packet of such a flow up, as no attribute can hold its actions. What an action takes is its header
(4 bytes) and its argument, to a multiple of 4; a `set` has the key twice, as value and as mask.
"""

from __future__ import annotations

from collections.abc import Sequence

from netloom.datapath import actions as dp

#: More than this fits into no attribute.
MAX_BYTES = 0xFFFF - 4
_HEADER = 4
_SIZES: dict[type[dp.DpAction], int] = {
    dp.Output: 8, dp.Userspace: 64, dp.PushVlan: 8, dp.PopVlan: 4, dp.PushMpls: 12, dp.PopMpls: 8,
    dp.Recirc: 8, dp.Hash: 12, dp.LbOutput: 8, dp.Trunc: 8, dp.Meter: 8, dp.Ct: 64, dp.CtClear: 4,
    dp.PushEth: 16, dp.PopEth: 4, dp.PushNsh: 40, dp.PopNsh: 4, dp.AddMpls: 12, dp.Normal: 4,
    dp.TunnelPush: 532, dp.TunnelPop: 8, dp.DropReason: 8,
    dp.Psample: 24,
}  # fmt: skip
#: Bytes of a key by the header of a `set`.
_KEYS = {"eth": 12, "vlan": 4, "ipv4": 12, "ipv6": 40, "arp": 24, "nd": 28, "nsh": 28, "tunnel": 64}
_SMALL_KEY = 4


def count_bytes(actions: Sequence[dp.DpAction]) -> int:
    """The size of a list of actions."""
    return sum(map(_size, actions))


def _size(action: dp.DpAction) -> int:
    size = _SIZES.get(type(action))
    if size is not None:
        return size
    if isinstance(action, dp.Set):
        return 2 * _HEADER + 2 * _KEYS.get(action.header, _SMALL_KEY)
    if isinstance(action, dp.Clone):
        return _HEADER + count_bytes(action.actions)
    if isinstance(action, dp.Sample):
        return 2 * _HEADER + 8 + count_bytes(action.actions)
    assert isinstance(action, dp.CheckPktLen), action
    return 3 * _HEADER + 8 + count_bytes(action.if_greater) + count_bytes(action.if_less)
