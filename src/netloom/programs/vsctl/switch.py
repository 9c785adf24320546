"""Commands about the switch as a whole: `init` and `comment`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.vsctl.context import Context


def run_init(context: Context) -> None:
    """The row of Open_vSwitch is there before any command runs."""


def run_comment(context: Context) -> None:
    """The whole command line is in the transaction's comment already."""
