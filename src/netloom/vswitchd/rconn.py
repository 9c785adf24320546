"""When to call a controller, when to give up, when to ask whether it lives.

`Rconn` is the back-off of one OpenFlow connection that is to be kept, in the shape that
`transport.client.ReconnectingClient` drives. Pauses grow from one second by doubling up to the
controller's `max_backoff`; after `inactivity_probe` without a byte from the controller one echo
request is asked for, and after as much again without one the connection is dropped. `Accepted` is
the life of a connection that the controller has made: asked alike, but not made again. Log lines
and states are those of Open vSwitch, which the Controller row and people's log watchers show.
"""

from __future__ import annotations

import errno
import os

from netloom.base.log import get_logger
from netloom.ofproto.settings import ControllerSettings, ControllerStatus

log = get_logger("rconn")

BACKOFF, CONNECTING, ACTIVE, IDLE = "BACKOFF", "CONNECTING", "ACTIVE", "IDLE"
#: Of a connection that is not made again.
DISCONNECTED = "DISCONNECTED"
EOF = -1
#: How long who has called may take to say hello.
HELLO_MS = 1_000
#: A controller that is slow to answer is not taken for dead.
MIN_PROBE_MS = 5_000


def _whole_seconds(ms: int) -> int:
    return ms - ms % 1_000


class _Asked:
    """A connection whose peer is asked whether it lives; `name` is what the log calls it."""

    def __init__(self, name: str, state: str, settings: ControllerSettings, now_ms: int) -> None:
        self.name = name
        self.state = state
        self._probe_ms = 0
        self._entered_ms = now_ms
        self._activity_ms = now_ms
        self.set(settings)

    def set(self, settings: ControllerSettings) -> None:
        """Take over changed settings."""
        probe_ms = _whole_seconds(settings.inactivity_probe_ms)
        self._probe_ms = max(MIN_PROBE_MS, probe_ms) if probe_ms else 0

    @property
    def is_connected(self) -> bool:
        return self.state in (ACTIVE, IDLE)

    def activity(self, now_ms: int) -> None:
        """The peer has sent something."""
        self._activity_ms = now_ms
        if self.state == IDLE:
            self._enter(ACTIVE, now_ms)

    def _when_to_ask(self) -> int | None:
        """When to send a probe, or to wait no more for the answer to one."""
        if not self._probe_ms or not self.is_connected:
            return None
        if self.state == ACTIVE:
            return max(self._activity_ms, self._entered_ms) + self._probe_ms
        return self._entered_ms + self._probe_ms

    def _ask(self, now_ms: int) -> str:
        """What is to be done when that time has come."""
        if self.state == ACTIVE:
            idle_s = (now_ms - max(self._activity_ms, self._entered_ms)) // 1000
            log.dbg("%s: idle %d seconds, sending inactivity probe", self.name, idle_s)
            self._enter(IDLE, now_ms)
            return "probe"
        log.err(
            "%s: no response to inactivity probe after %d seconds, disconnecting",
            self.name,
            (now_ms - self._entered_ms) // 1000,
        )
        return "disconnect"

    def _enter(self, state: str, now_ms: int) -> None:
        log.dbg("%s: entering %s", self.name, state)
        self.state = state
        self._entered_ms = now_ms


class Accepted(_Asked):
    """A connection that the peer has made."""

    def __init__(self, name: str, settings: ControllerSettings, now_ms: int) -> None:
        super().__init__(name, CONNECTING, settings, now_ms)
        self._enter(CONNECTING, now_ms)

    def deadline(self) -> int | None:
        """When `run` has to be called."""
        if self.state == CONNECTING:
            return self._entered_ms + HELLO_MS
        return self._when_to_ask()

    def run(self, now_ms: int) -> str | None:
        """What is due now: "probe", "disconnect" or nothing."""
        due_ms = self.deadline()
        if due_ms is None or now_ms < due_ms:
            return None
        if self.state == CONNECTING:
            log.info("%s: connection timed out", self.name)
            return "disconnect"
        return self._ask(now_ms)

    def negotiated(self, now_ms: int) -> None:
        """The OpenFlow version is settled."""
        log.dbg("%s: connected", self.name)
        self._enter(ACTIVE, now_ms)

    def disconnected(self, now_ms: int, error: int) -> None:
        """The connection is gone: a system error, EOF, or 0 if this side closed it."""
        if error == EOF and self.is_connected:
            log.dbg("%s: connection closed by peer", self.name)
        elif error:
            number = errno.ECONNRESET if error == EOF else error
            log.warn("%s: connection dropped (%s)", self.name, error_text(number))
        self._enter(DISCONNECTED, now_ms)


class Rconn(_Asked):
    """A connection that is kept."""

    def __init__(self, name: str, settings: ControllerSettings, now_ms: int) -> None:
        self._max_backoff_ms = 0
        super().__init__(name, BACKOFF, settings, now_ms)
        self.last_error = 0
        self._backoff_ms = 0
        self._retry_ms = now_ms
        self.last_connected_ms: int | None = None
        self.last_disconnected_ms: int | None = None
        self._reconnect = False

    def set(self, settings: ControllerSettings) -> None:
        super().set(settings)
        self._max_backoff_ms = max(_whole_seconds(settings.max_backoff_ms), 1_000)

    def reconnect(self) -> None:
        """Have the connection dropped and made anew."""
        self._reconnect = self.state in (ACTIVE, IDLE)

    def status(self, target: str, role: str, now_ms: int) -> ControllerStatus:
        """What the Controller row says."""
        return ControllerStatus(
            target=target,
            is_connected=self.is_connected,
            role=role,
            last_error=error_text(self.last_error) if self.last_error else "",
            state=self.state,
            sec_since_connect=_seconds_since(self.last_connected_ms, now_ms),
            sec_since_disconnect=_seconds_since(self.last_disconnected_ms, now_ms),
        )

    # -- what the owner of the socket asks and reports ---------------------------------------

    def deadline(self) -> int | None:
        if self._reconnect:
            return self._entered_ms
        if self.state == BACKOFF:
            return self._retry_ms
        if self.state == CONNECTING:
            return self._entered_ms + max(1_000, self._backoff_ms)
        return self._when_to_ask()

    def run(self, now_ms: int) -> str | None:
        due_ms = self.deadline()
        if due_ms is None or now_ms < due_ms:
            return None
        if self._reconnect:
            self._reconnect = False
            log.info("%s: disconnecting", self.name)
            return "disconnect"
        if self.state == BACKOFF:
            return "connect"
        if self.state == CONNECTING:
            return "disconnect"
        return self._ask(now_ms)

    def connecting(self, now_ms: int) -> None:
        if self._is_logging:
            log.info("%s: connecting...", self.name)
        self._enter(CONNECTING, now_ms)

    def connected(self, now_ms: int) -> None:
        """The stream is there; the connection is not before the hellos are exchanged."""

    def negotiated(self, now_ms: int) -> None:
        """The OpenFlow version is settled."""
        log.info("%s: connected", self.name)
        self._enter(ACTIVE, now_ms)
        self._activity_ms = now_ms
        self.last_connected_ms = now_ms

    def connect_failed(self, now_ms: int, error: int = 0) -> None:
        if self._is_logging:
            log.warn("%s: connection failed (%s)", self.name, error_text(error))
        self._back_off(now_ms, error)

    def disconnected(self, now_ms: int, error: int = 0) -> None:
        if self.state == CONNECTING and not error:
            if self._is_logging:
                log.info("%s: connection timed out", self.name)
            self._back_off(now_ms, errno.ETIMEDOUT)
            return
        if self.state == IDLE and not error:
            error = errno.ETIMEDOUT
        elif error == EOF:
            log.info("%s: connection closed by peer", self.name)
        elif error > 0:
            log.warn("%s: connection dropped (%s)", self.name, error_text(error))
        else:
            log.info("%s: connection dropped", self.name)
        self.last_disconnected_ms = now_ms
        self._back_off(now_ms, error)

    # -- inside ------------------------------------------------------------------------------

    @property
    def _is_logging(self) -> bool:
        """Attempts are logged until the pause between them has reached its maximum."""
        return self._backoff_ms < self._max_backoff_ms

    def _back_off(self, now_ms: int, error: int) -> None:
        self.last_error = error
        was_up = self.state in (ACTIVE, IDLE)
        lasted_ms = now_ms - (self.last_connected_ms or now_ms)
        if was_up and lasted_ms >= self._backoff_ms:
            self._backoff_ms = 1_000
        elif self._backoff_ms < self._max_backoff_ms / 2:
            self._backoff_ms = max(1_000, 2 * self._backoff_ms)
            log.info("%s: waiting %d seconds before reconnect", self.name, self._backoff_ms // 1000)
        else:
            if self._is_logging:
                log.info(
                    "%s: continuing to retry connections in the background but suppressing "
                    "further logging",
                    self.name,
                )
            self._backoff_ms = self._max_backoff_ms
        self._enter(BACKOFF, now_ms)
        self._retry_ms = now_ms + self._backoff_ms


def error_text(number: int) -> str:
    """An error number for a person and for the Controller row."""
    return "End of file" if number == EOF else os.strerror(number)


def _seconds_since(then_ms: int | None, now_ms: int) -> int:
    return -1 if then_ms is None else (now_ms - then_ms) // 1000
