"""Where cuts go: a `Trunc` is moved to what it cuts, so that the programs need not carry it along.

A cut takes bytes off the end of the next packet that leaves, be it into a tunnel's headers; what is
put on in front meanwhile makes that packet longer. A clone takes the cut with it. Branches are
whole, though it is the cut length that `check_pkt_len` compares, and so is what is looked up again:
if nothing else is cut, nothing is.
"""

from __future__ import annotations

from typing import Final

from netloom.datapath import actions as dp

#: Nothing is cut shorter: an Ethernet header.
LEAST_CUT: Final = 14
#: Bytes that a tag or a label has.
_TAG_BYTES: Final = 4
#: What is cut. `LbOutput`, too, chooses a way for the packet that it cuts.
CUT: Final = (dp.Output, dp.Userspace, dp.TunnelPush, dp.LbOutput)
#: What takes bytes off in front, or puts on who knows how many.
_RESIZING: Final = (
    dp.PopVlan, dp.PopMpls, dp.AddMpls, dp.PushEth, dp.PopEth, dp.PushNsh, dp.PopNsh,
    dp.TunnelPop,
)  # fmt: skip


def place_cuts(actions: dp.DpActions) -> dp.DpActions:
    """The same actions, each `Trunc` right before what it cuts; or where it was, if its length
    there cannot be told."""
    placed: list[dp.DpAction] = []
    cut: dp.Trunc | None = None
    for action in actions:
        if isinstance(action, dp.Trunc):
            cut = dp.Trunc(max(action.max_len, LEAST_CUT))
        elif cut is None:
            placed.append(action)
        elif isinstance(action, CUT + _RESIZING):
            placed += [cut, action]
            cut = None
        elif isinstance(action, dp.Clone) and action.actions:
            placed.append(dp.Clone((cut, *action.actions)))
            cut = None
        elif isinstance(action, dp.CheckPktLen) and cut.max_len <= action.max_len:
            placed.append(dp.Clone(action.if_less))
        else:
            placed.append(action)
            if isinstance(action, dp.PushVlan | dp.PushMpls):
                cut = dp.Trunc(cut.max_len + _TAG_BYTES)
    return tuple(placed)
