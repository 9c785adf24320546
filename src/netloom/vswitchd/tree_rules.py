"""STP and RSTP of a Bridge row: `stp_enable`, `rstp_enable` and their keys of `other_config`."""

from __future__ import annotations

from collections.abc import Callable

from netloom.ofproto.settings import StpSettings
from netloom.ovsdb.row import Row
from netloom.protocols import rstp_values
from netloom.protocols.rstp_values import RstpSettings
from netloom.vswitchd.addresses import parse_mac

Complain = Callable[[str, str], None]


class TreeRules:
    """One Bridge row; `complain` gets a level and a text."""

    def __init__(self, row: Row, complain: Complain) -> None:
        self._row = row
        self._name = row.text("name")
        self._config = row.mapping("other_config")
        self._complain = complain

    def read(self) -> tuple[StpSettings | None, RstpSettings | None]:
        """At most one of them: RSTP goes first."""
        has_stp, has_rstp = self._row.flag("stp_enable"), self._row.flag("rstp_enable")
        if has_stp and has_rstp:
            clash = "RSTP and STP are mutually exclusive but both are configured; enabling RSTP"
            self._complain("warn", f"{self._name}: {clash}")
        if has_rstp:
            return None, self._rstp()
        return (self._stp() if has_stp else None), None

    def _stp(self) -> StpSettings:
        return StpSettings(
            system_id=self._address("stp-system-id"),
            priority=self._number("stp-priority", 32_768) & 0xFFFF,
            hello_ms=self._number("stp-hello-time", 2) * 1_000,
            max_age_ms=self._number("stp-max-age", 20) * 1_000,
            forward_delay_ms=self._number("stp-forward-delay", 15) * 1_000,
        )

    def _rstp(self) -> RstpSettings:
        """Values that are out of range are as if they were not there."""
        priority = self._number("rstp-priority", 32_768)
        if not 0 <= priority < rstp_values.MAX_PRIORITY + rstp_values.PRIORITY_STEP:
            priority = 32_768
        version = self._number("rstp-force-protocol-version", 2)
        ages, delays, counts = (
            rstp_values.MAX_AGES, rstp_values.FORWARD_DELAYS, rstp_values.HOLD_COUNTS,
        )  # fmt: skip
        return RstpSettings(
            address=self._address("rstp-address"),
            priority=priority - priority % rstp_values.PRIORITY_STEP,
            force_version=version if version in (0, 2) else 2,
            max_age_s=self._in_range("rstp-max-age", 20, ages),
            forward_delay_s=self._in_range("rstp-forward-delay", 15, delays),
            hold_count=self._in_range("rstp-transmit-hold-count", 6, counts),
        )

    def _address(self, key: str) -> int:
        """An address that was given, else 0: the bridge's own."""
        text = self._config.get(key)
        mac = parse_mac(text) if text is not None else None
        if text is not None and mac is None:
            self._complain("err", f'bridge {self._name}: invalid {key} "{text}"')
        return int.from_bytes(mac or b"", "big")

    def _number(self, key: str, default: int) -> int:
        try:
            return int(self._config.get(key, ""), 10)
        except ValueError:
            return default

    def _in_range(self, key: str, default: int, bounds: tuple[int, int]) -> int:
        number = self._number(key, default)
        return number if bounds[0] <= number <= bounds[1] else default
