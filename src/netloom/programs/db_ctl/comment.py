"""The command `comment`."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from netloom.programs.db_ctl.context import Context


def run_comment(context: Context) -> None:
    """The whole command line is in the transaction's comment already."""
