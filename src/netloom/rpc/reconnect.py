"""When to connect, when to give up, when to ask a silent peer whether it lives.

`Reconnect` decides; whoever owns the sockets does it and reports back. Time is an argument.

    match fsm.run(now_ms):
        case "connect":    start connecting; call connecting(), then connected() or connect_failed()
        case "disconnect": close the connection; call disconnected()
        case "probe":      send an echo request
    wake up at fsm.deadline()

Back-off: the first attempt is made at once, the next after `min_backoff_ms`, each further one
after twice as long, up to `max_backoff_ms`. A connection that was of use (lasted at least as long
as the back-off before it) sets the back-off to its minimum again. An attempt is given up after its
back-off, but not before a second.

Probes: after `probe_interval_ms` without a byte from the peer one probe is asked for; after as much
again without an answer the connection is given up. 0 switches probes off.

In passive mode, the owner listens instead of connecting, and there is no back-off after a
connection that came in and went.

The log lines are those of Open vSwitch, since people watch logs for them. They stop when the
back-off has reached its maximum, so that a peer that is away for a day costs no log.
"""

from __future__ import annotations

import os

from netloom.base.log import DBG, INFO, WARN, get_logger

#: The error to report when the peer closed the connection in order.
EOF = -1

VOID = "VOID"
BACKOFF = "BACKOFF"
CONNECTING = "CONNECTING"
LISTENING = "LISTENING"
ACTIVE = "ACTIVE"
IDLE = "IDLE"
RECONNECT = "RECONNECT"

CONNECT = "connect"
DISCONNECT = "disconnect"
PROBE = "probe"

#: The pause after the first attempt that failed.
DEFAULT_MIN_BACKOFF_MS = 1000

_CONNECTED = (ACTIVE, IDLE, RECONNECT)

log = get_logger("reconnect")


class Reconnect:
    """The state of one connection that is to be kept. Starts disabled: call `enable`."""

    def __init__(
        self,
        name: str,
        now_ms: int,
        *,
        min_backoff_ms: int = DEFAULT_MIN_BACKOFF_MS,
        max_backoff_ms: int = 8000,
        probe_interval_ms: int = 5000,
        passive: bool = False,
        quiet: bool = False,
    ) -> None:
        self.name = name
        self.state = VOID
        self.passive = passive
        self._info = DBG if quiet else INFO
        self._entered_ms = now_ms
        self._backoff_ms = 0
        self._min_backoff_ms = 0
        self._max_backoff_ms = 0
        self.set_backoff(min_backoff_ms, max_backoff_ms)
        self.probe_interval_ms = 0
        self.set_probe_interval(probe_interval_ms)
        #: Attempts still allowed; None for any number.
        self.max_tries: int | None = None
        self._free_tries = 0
        self._last_activity_ms = now_ms
        self.last_connected_ms: int | None = None
        self.last_disconnected_ms: int | None = None
        self.attempts = 0
        self.successes = 0
        #: Grows whenever the connection comes up or goes down.
        self.seqno = 0

    # Settings.

    def set_backoff(self, min_ms: int, max_ms: int) -> None:
        """The least and greatest pause between attempts; neither is less than a second."""
        self._min_backoff_ms = max(min_ms, 1000)
        self._max_backoff_ms = max(max_ms, self._min_backoff_ms)
        if self.state == BACKOFF:
            self._backoff_ms = min(self._backoff_ms, self._max_backoff_ms)

    def set_probe_interval(self, interval_ms: int) -> None:
        """0 for no probes; otherwise at least a second."""
        self.probe_interval_ms = max(1000, interval_ms) if interval_ms else 0

    def set_quiet(self, quiet: bool) -> None:
        """Log what is not a warning at DBG instead of INFO."""
        self._info = DBG if quiet else INFO

    def set_backoff_free_tries(self, tries: int) -> None:
        """How many attempts follow each other without a pause."""
        self._free_tries = tries

    def set_passive(self, passive: bool, now_ms: int) -> None:
        if passive == self.passive:
            return
        self.passive = passive
        started = self.state in (CONNECTING, RECONNECT) if passive else self.state == LISTENING
        if started and (passive or self._may_retry()):
            self._enter(BACKOFF, now_ms)
            self._backoff_ms = 0

    def enable(self, now_ms: int) -> None:
        """Begin to connect, unless begun already."""
        if self.state == VOID and self._may_retry():
            self._enter(BACKOFF, now_ms)
            self._backoff_ms = 0

    def disable(self, now_ms: int) -> None:
        """Connect no more."""
        if self.state != VOID:
            self._enter(VOID, now_ms)

    def force_reconnect(self, now_ms: int) -> None:
        """Have the present connection, or attempt, closed and made anew."""
        if self.state in (CONNECTING, ACTIVE, IDLE):
            self._enter(RECONNECT, now_ms)

    @property
    def enabled(self) -> bool:
        return self.state != VOID

    @property
    def connected_now(self) -> bool:
        return self.state in _CONNECTED

    # Questions of the owner.

    def deadline(self) -> int | None:
        """When `run` will have something to say, if nothing is reported before."""
        if self.state == BACKOFF:
            return self._entered_ms + self._backoff_ms
        if self.state == CONNECTING:
            return self._entered_ms + max(1000, self._backoff_ms)
        if self.state == RECONNECT:
            return self._entered_ms
        if self.probe_interval_ms and self.state == ACTIVE:
            return max(self._last_activity_ms, self._entered_ms) + self.probe_interval_ms
        if self.probe_interval_ms and self.state == IDLE:
            return self._entered_ms + self.probe_interval_ms
        return None

    def run(self, now_ms: int) -> str | None:
        """What is to be done now: CONNECT, DISCONNECT, PROBE or nothing."""
        due = self.deadline()
        if due is None or now_ms < due:
            return None
        if self.state == BACKOFF:
            return CONNECT
        if self.state == ACTIVE:
            idle_ms = now_ms - max(self._last_activity_ms, self._entered_ms)
            log.dbg("%s: idle %d ms, sending inactivity probe", self.name, idle_ms)
            self._enter(IDLE, now_ms)
            return PROBE
        if self.state == IDLE:
            log.err(
                "%s: no response to inactivity probe after %.3g seconds, disconnecting",
                self.name,
                (now_ms - self._entered_ms) / 1000,
            )
        return DISCONNECT

    # Reports of the owner.

    def connecting(self, now_ms: int) -> None:
        """An attempt to connect has begun."""
        if self.state == CONNECTING:
            return
        if self.passive:
            log.log(self._info, "%s: listening...", self.name)
        elif self._backoff_ms < self._max_backoff_ms:
            log.log(self._info, "%s: connecting...", self.name)
        self._enter(CONNECTING, now_ms)

    def listening(self, now_ms: int) -> None:
        """The listening socket is open."""
        if self.state != LISTENING:
            log.log(self._info, "%s: listening...", self.name)
            self._enter(LISTENING, now_ms)

    def connected(self, now_ms: int) -> None:
        """The connection is there."""
        if self.state in _CONNECTED:
            return
        self.connecting(now_ms)
        log.log(self._info, "%s: connected", self.name)
        self._enter(ACTIVE, now_ms)
        self.last_connected_ms = now_ms
        self._last_activity_ms = now_ms

    def activity(self, now_ms: int) -> None:
        """The peer sent something."""
        if self.state == IDLE:
            self._enter(ACTIVE, now_ms)
        self._last_activity_ms = now_ms

    def connect_failed(self, now_ms: int, error: int = 0) -> None:
        """The attempt failed with the system error `error`."""
        self.connecting(now_ms)
        self.disconnected(now_ms, error)

    def disconnected(self, now_ms: int, error: int = 0) -> None:
        """The connection, attempt or listening socket is gone: a system error, EOF or 0."""
        if self.state in (BACKOFF, VOID):
            return
        self._log_disconnect(error)
        was_up = self.state in (ACTIVE, IDLE)
        if was_up:
            self.last_disconnected_ms = now_ms
        if not self._may_retry():
            self._enter(VOID, now_ms)
            return
        if self._free_tries > 1:
            self._free_tries -= 1
            self._backoff_ms = 0
        elif was_up and (self.passive or self._connection_was_of_use()):
            self._backoff_ms = 0 if self.passive else self._min_backoff_ms
        else:
            self._back_off()
        self._enter(BACKOFF, now_ms)

    def _connection_was_of_use(self) -> bool:
        assert self.last_connected_ms is not None
        return self._last_activity_ms - self.last_connected_ms >= self._backoff_ms

    def _back_off(self) -> None:
        """Double the pause, and say so as long as it grows."""
        if self._backoff_ms < self._min_backoff_ms:
            self._backoff_ms = self._min_backoff_ms
        elif self._backoff_ms < self._max_backoff_ms / 2:
            self._backoff_ms *= 2
            action = "trying to listen again" if self.passive else "reconnect"
            seconds = self._backoff_ms / 1000
            log.log(self._info, "%s: waiting %.3g seconds before %s", self.name, seconds, action)
        else:
            if self._backoff_ms < self._max_backoff_ms:
                action = "try to listen" if self.passive else "reconnect"
                log.log(
                    self._info,
                    "%s: continuing to %s in the background but suppressing further logging",
                    self.name,
                    action,
                )
            self._backoff_ms = self._max_backoff_ms

    def _log_disconnect(self, error: int) -> None:
        if self.state in (ACTIVE, IDLE):
            what = "connection closed by peer" if error == EOF else "connection dropped"
        elif self.state == LISTENING:
            what = "error listening for connections"
        elif self.state == RECONNECT:
            log.log(self._info, "%s: connection closed by client", self.name)
            return
        elif self._backoff_ms >= self._max_backoff_ms:
            return
        else:
            kind = "listen" if self.passive else "connection"
            what = f"{kind} attempt {'failed' if error > 0 else 'timed out'}"
        if error > 0:
            level = INFO if self.state == CONNECTING else WARN
            log.log(level, "%s: %s (%s)", self.name, what, os.strerror(error))
        else:
            log.log(self._info, "%s: %s", self.name, what)

    def _may_retry(self) -> bool:
        """Whether another attempt is allowed; counts it."""
        if self.max_tries is None:
            return True
        if self.max_tries <= 0:
            return False
        self.max_tries -= 1
        return True

    def _enter(self, state: str, now_ms: int) -> None:
        if self.state == CONNECTING:
            self.attempts += 1
            self.successes += state == ACTIVE
        if (self.state in _CONNECTED) != (state in _CONNECTED):
            self.seqno += 1
        log.dbg("%s: entering %s", self.name, state)
        self.state = state
        self._entered_ms = now_ms
