"""OpenFlow errors: what a switch answers when a message cannot be carried out.

An error is named as in the specifications (`OFPBFC_OVERLAP`); its type and code on the wire differ
by version and are columns of the table in `netloom.openflow.error_table`.
"""

from __future__ import annotations

from netloom.base.errors import NetloomError


class OpenFlowError(NetloomError):
    """Goes back to the peer as an OFPT_ERROR; `name` is a row of the error table, such as
    "OFPBRC_BAD_TYPE". `data` is what the message carries, the failed request by default."""

    def __init__(self, name: str, data: bytes | None = None) -> None:
        super().__init__(name)
        self.name = name
        self.data = data
