"""How a device that cannot be opened is reported on its Interface row."""

from __future__ import annotations

import errno
import os

from netloom.base.errors import ConfigError
from netloom.base.log import get_logger

log = get_logger("netdev")


def cannot_open(name: str, code: int = errno.ENODEV) -> ConfigError:
    """The text that Open vSwitch puts into the `error` column."""
    return ConfigError(f"could not open network device {name} ({os.strerror(code)})")


def unknown_type(name: str, type_: str) -> ConfigError:
    """Logs why, and returns the text for the `error` column."""
    log.warn("could not create netdev %s of unknown type %s", name, type_)
    return cannot_open(name, errno.EAFNOSUPPORT)
