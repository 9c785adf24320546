"""Which versions of OpenFlow can say what is to be done with a group."""

from __future__ import annotations

from netloom.openflow import messages_groups as g
from netloom.programs.ofctl.options import Fatal

_NEEDS_15 = {
    g.OFPGC_INSERT_BUCKET: "insert-bucket", g.OFPGC_REMOVE_BUCKET: "remove-bucket",
}  # fmt: skip


def check_command(group: g.GroupMod, version: int) -> None:
    """Ends the program if `version` has no words for what is to be done with a group."""
    if group.command in _NEEDS_15 and version not in (1, 6):
        raise Fatal(f"{_NEEDS_15[group.command]} needs OpenFlow 1.5 or later ('-O OpenFlow15')")
