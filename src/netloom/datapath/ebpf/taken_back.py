"""Copies that get headers in front, and after which there is more to do with the packet.

The programs cannot copy a packet, except to send it; so they take the headers off again that such a
copy put on. Nothing else may be done to it than to write these headers, which then are gone: what
was there before is as it was.
"""

from __future__ import annotations

from netloom.datapath import actions as dp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_TAGS: Final = (0x8100, 0x88A8)
#: The type of what is behind a label again that was the first: what it was behind before.
AS_BEFORE: Final = 0
_METADATA: Final = ("skb_mark", "skb_priority")
#: A header that may be written -> the action that put it on.
_WRITABLE: Final[dict[str, type[dp.DpAction]]] = {
    "eth": dp.PushEth,
    "nsh": dp.PushNsh,
    "mpls": dp.PushMpls,
    dp.KNOWN_LABEL: dp.PushMpls,
}
Headers = tuple[dp.DpAction, ...]


def put_on(headers: Headers, action: dp.DpAction) -> Headers | None:
    """The headers that were put on, innermost first, after one more action of a copy; None if it
    is none that can be taken back."""
    last = headers[-1] if headers else None
    match action:
        case dp.Output() | dp.Userspace():
            return headers
        case dp.Hash() if headers:
            return headers
        case dp.PushNsh() if last is None or isinstance(last, dp.PushNsh):
            return (*headers, action)
        case dp.PushEth() if isinstance(last, dp.PushNsh):
            return (*headers, action)
        case dp.PushMpls() if last is None or isinstance(last, dp.PushMpls):
            return None if action.ethertype in _TAGS else (*headers, action)
        case dp.PushVlan() if last is not None and not isinstance(last, dp.PushNsh):
            return (*headers, action)
        case dp.Set() if action.header in _METADATA and headers:
            return headers
        case dp.Set() if isinstance(last, _WRITABLE.get(action.header, ())):
            return headers
    return None


def can_be_taken_back(actions: dp.DpActions) -> bool:
    """Whether a copy with these actions is one of that kind."""
    headers: Headers = ()
    for action in actions:
        found = put_on(headers, action)
        if found is None:
            return False
        headers = found
    return any(isinstance(header, dp.PushNsh | dp.PushMpls) for header in headers)


def inverse(headers: Headers) -> dp.DpActions:
    """What takes the headers off."""
    actions: list[dp.DpAction] = []
    for number, header in reversed(list(enumerate(headers))):
        match header:
            case dp.PushNsh():
                actions.append(dp.PopNsh())
            case dp.PushEth():
                actions.append(dp.PopEth())
            case dp.PushVlan():
                actions.append(dp.PopVlan())
            case dp.PushMpls():
                before = headers[number - 1] if number else None
                kind = before.ethertype if isinstance(before, dp.PushMpls) else AS_BEFORE
                actions.append(dp.PopMpls(kind))
    return tuple(actions)


def left_over(actions: dp.DpActions) -> dp.DpActions:
    """What user space does in place of these, if the programs could not go on: nothing, if nobody
    knows what it should come to."""
    if any(isinstance(action, dp.PopMpls) and action.ethertype == AS_BEFORE for action in actions):
        return (dp.DropReason(0),)
    return actions
