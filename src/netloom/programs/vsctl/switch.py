"""The command `init`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.context import Context


def run_init(context: Context) -> None:
    """The row of Open_vSwitch is there before any command runs."""
