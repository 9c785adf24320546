"""How a device that cannot be opened is reported on its Interface row."""

from __future__ import annotations

import errno
import os

from netloom.base.errors import ConfigError


def cannot_open(name: str, code: int = errno.ENODEV) -> ConfigError:
    """The text that Open vSwitch puts into the `error` column."""
    return ConfigError(f"could not open network device {name} ({os.strerror(code)})")
