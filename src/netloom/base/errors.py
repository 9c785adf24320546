"""The kinds of error that Netloom tells apart, by who is wrong.

* `ProtocolError`: the peer is wrong. Its connection closes; nothing else is affected.
* `ConfigError`: the user is wrong. The change is refused as a whole and what was stays.
* `Unsupported`: the kernel or this build lacks something; names the probe that found out.
* `CommandError`: a command given to a tool or a daemon failed; its text goes to the user.

An `assert` is a bug of ours. Packet paths never raise: they return a reason that is counted.
(`OpenFlowError`, which goes back on the wire, lives in `netloom.openflow.errors`.)
"""

from __future__ import annotations


class NetloomError(Exception):
    """Base of every error that Netloom raises on purpose."""


class ProtocolError(NetloomError):
    """A peer sent bytes that its protocol does not allow."""


class ConfigError(NetloomError):
    """A wish that cannot be granted; `where` names its place, as in 'Port vif0, column tag'."""

    def __init__(self, message: str, where: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message)
        self.message = message
        self.where = where


class Unsupported(NetloomError):
    """A feature that is missing here; `probe` names the check that says so."""

    def __init__(self, message: str, probe: str = "") -> None:
        super().__init__(message)
        self.probe = probe


class CommandError(NetloomError):
    """A command that failed; the text is what its user reads."""
