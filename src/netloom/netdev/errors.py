"""How a device that cannot be opened is reported on its Interface row."""

from __future__ import annotations

import errno
import os

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger

log = get_logger("netdev")
dpif_log = get_logger("dpif")


def cannot_open(name: str, code: int = errno.ENODEV) -> ConfigError:
    """The text that Open vSwitch puts into the `error` column."""
    return ConfigError(f"could not open network device {name} ({os.strerror(code)})")


class OptionsRefused(ConfigError):
    """A device does not take its options; they are in the log already. `code` is the error
    number."""

    def __init__(self, message: str, code: int = errno.EINVAL) -> None:
        super().__init__(message)
        self.code = code


class PortRefused(ConfigError):
    """A data path does not take a device as port; `code` is the error number."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def cannot_add(title: str, name: str, code: int) -> PortRefused:
    """A device that the data path `title` does not take as port: logs it, and returns the text for
    the `error` column."""
    reason = os.strerror(code)
    dpif_log.warn("%s: failed to add %s as port: %s", title, name, reason)
    return PortRefused(f"could not add network device {name} to ofproto ({reason})", code)


def unknown_type(name: str, type_: str) -> ConfigError:
    """Logs why, and returns the text for the `error` column."""
    log.warn("could not create netdev %s of unknown type %s", name, type_)
    return cannot_open(name, errno.EAFNOSUPPORT)
