"""Bidirectional Forwarding Detection (RFC 5880, RFC 5881): one session, as a machine.

Both ends send control packets, each as often as the other lets it. An end that hears nothing for
`mult` intervals is down, and says so. There is
neither authentication nor echo nor demand mode.

Nothing here sends or looks at a clock: `receive` takes a control packet, `run` lets timers end,
`packet` is one to be sent, if any is due. Times are ms; on the wire they are microseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from netloom.base.log import get_logger
from netloom.base.record import Record

log = get_logger("bfd")

PORT, SOURCE_PORT = 3_784, 49_152
ADMIN_DOWN, DOWN, INIT, UP = range(4)
STATES = ("admin_down", "down", "init", "up")
DIAGNOSTICS = (
    "No Diagnostic", "Control Detection Time Expired", "Echo Function Failed",
    "Neighbor Signaled Session Down", "Forwarding Plane Reset", "Path Down",
    "Concatenated Path Down", "Administratively Down", "Reverse Concatenated Path Down",
)  # fmt: skip
_EXPIRED, _REMOTE_DOWN, _PATH_DOWN, _CONCATENATED, _REVERSE = 1, 3, 5, 6, 8
_MULTIPOINT, _DEMAND, _AUTHENTICATED, _CONTROL_PLANE, _FINAL, _POLL = 1, 2, 4, 8, 16, 32
_FLAG_WORDS = ("multipoint", "demand", "auth", "ctl", "final", "poll")
_FLAGS = 0x3F
_VERSION = 1
_TTL = 255
_PACKET = Struct("!BBBBIIIII")
#: What a session that is not up sends at most, and how long idleness is looked for at least.
_SLOW_MS, _DECAY_MS = 1_000, 2_000
#: So many of its intervals may pass without a control packet while packets say that a link works.
_DEMAND_INTERVALS = 100
#: A session sends so many percents early, at most and, if one lost packet matters, at least.
_MAX_EARLY, _MIN_EARLY = 25, 10


class BfdSettings(Record):
    """The `bfd` column of an interface. Addresses are numbers; `remote_dst_mac` 0: any."""

    min_rx_ms: int = 1_000
    min_tx_ms: int = 100
    decay_min_rx_ms: int = 0
    mult: int = 3
    forwarding_if_rx: bool = False
    cpath_down: bool = False
    check_tunnel_key: bool = False
    #: 0: that of the interface.
    local_src_mac: int = 0
    local_dst_mac: int = 0x0023_2000_0001
    remote_dst_mac: int = 0
    src_ip: int = 0xA9FE0101
    dst_ip: int = 0xA9FE0100
    #: Do tunnels mark its packets as those of operation and maintenance?
    oam: bool = False


class Bfd:
    """The session of the interface called `name`; `count` tells how many packets came in there."""

    def __init__(
        self, name: str, discriminator: int, settings: BfdSettings, count: Callable[[], int]
    ) -> None:
        self.name = name
        self._count = count
        self.discriminator = discriminator
        self.settings = settings
        self.state = ADMIN_DOWN
        self.diagnostic = 0
        self.flags = 0
        self.min_tx_ms, self.min_rx_ms = settings.min_tx_ms, settings.min_rx_ms
        self.detect_ms = self.next_tx_ms = self.last_tx_ms = 0
        #: True, False: as somebody says (`bfd/set-forwarding`).
        self.override: bool | None = None
        self.n_flaps = 0
        self.changes = 0
        self._was_forwarding = False
        self._polled = (0, 0)
        self._in_decay = False
        self._decay_due_ms = self._rx_due_ms = self._demand_due_ms = 0
        self._rx_packets = count()
        self._decay_rx_packets = self._n_control = 0
        self._random = discriminator
        self.remote_mult = 0
        self._forget_remote()
        self._set_state(DOWN, 0, 0)

    def _forget_remote(self) -> None:
        self.remote_state, self.remote_diagnostic, self.remote_flags = DOWN, 0, 0
        self.remote_discriminator = self.remote_min_tx_ms = 0
        self.remote_min_rx_ms = 1

    # -- configuration -------------------------------------------------------------------

    def configure(self, settings: BfdSettings, now_ms: int) -> None:
        """Set what is wished; what the other end counts on is changed by asking it (a poll)."""
        old, self.settings = self.settings, settings
        if settings == old:
            return
        can_change = self.state != UP or not self.flags & _POLL
        if can_change and (self.state != UP or settings.min_tx_ms < self.min_tx_ms):
            self.min_tx_ms = settings.min_tx_ms
        if can_change and (self.state != UP or settings.min_rx_ms > self.min_rx_ms):
            self.min_rx_ms = settings.min_rx_ms
        decay = (settings.decay_min_rx_ms, settings.min_rx_ms)
        if decay != (old.decay_min_rx_ms, old.min_rx_ms):
            self._in_decay = False
            self._begin_decay(now_ms)
        if settings.cpath_down != old.cpath_down:
            self._set_state(self.state, 0, now_ms)
        self._configure_receipt(old, now_ms)
        if _what_is_polled(settings) != _what_is_polled(old):
            self._poll()

    def _configure_receipt(self, old: BfdSettings, now_ms: int) -> None:
        new = self.settings
        if self.state == UP and new.forwarding_if_rx:
            if not old.forwarding_if_rx or new.mult != old.mult:
                self._note_receipt(now_ms)
        elif new.forwarding_if_rx != old.forwarding_if_rx:
            self._rx_due_ms = 0

    # -- what is -------------------------------------------------------------------------

    def is_forwarding(self, now_ms: int) -> bool:
        """May packets use the interface? Changes that nobody ordered are counted."""
        if self.override is not None:
            return self.override
        forwards = self._forwards(now_ms)
        if forwards != self._was_forwarding:
            self._was_forwarding = forwards
            self.n_flaps += 1
            self.changes += 1
        return forwards

    def order(self, forwarding: bool | None) -> None:
        """Say what it is to be taken for, whatever it finds; None: what it finds."""
        self.override = forwarding
        self.changes += 1

    def _forwards(self, now_ms: int) -> bool:
        due_ms = min(self._rx_due_ms, self._demand_due_ms)
        receives = self.settings.forwarding_if_rx and due_ms > now_ms
        blocked = self.remote_diagnostic in (_PATH_DOWN, _CONCATENATED, _REVERSE)
        return (self.state == UP or receives) and not blocked

    @property
    def tx_interval_ms(self) -> int:
        return max(self._wanted_tx_ms, self.remote_min_rx_ms)

    @property
    def rx_interval_ms(self) -> int:
        return max(self.min_rx_ms, self.remote_min_tx_ms)

    @property
    def _wanted_tx_ms(self) -> int:
        return self.min_tx_ms if self.state == UP else max(self.min_tx_ms, _SLOW_MS)

    def deadline(self) -> int:
        if self.flags & _FINAL:
            return 0
        due = [self.next_tx_ms]
        if self.state > DOWN:
            due.append(self.detect_ms)
        return min(due)

    # -- running -------------------------------------------------------------------------

    def run(self, now_ms: int) -> None:
        """Let timers end."""
        self._look_at_receipt(now_ms)
        if self.state > DOWN and now_ms >= self.detect_ms:
            self._set_state(DOWN, _EXPIRED, now_ms)
        self.is_forwarding(now_ms)
        settings, was_in_decay = self.settings, self._in_decay
        if settings.decay_min_rx_ms and self.state == UP and now_ms >= self._decay_due_ms:
            self._try_decay(now_ms)
        wanted_rx = (settings.min_rx_ms, settings.decay_min_rx_ms)
        is_other = self.min_tx_ms != settings.min_tx_ms or self.min_rx_ms not in wanted_rx
        if is_other or self._in_decay != was_in_decay:
            self._poll()

    def _look_at_receipt(self, now_ms: int) -> None:
        """Any packet that came says that the link works, if that is what is wanted."""
        if not self.settings.forwarding_if_rx:
            return
        rx_packets = self._count()
        if rx_packets > self._rx_packets:
            self.is_forwarding(now_ms)
            self._note_receipt(now_ms)
            self.is_forwarding(now_ms)
        self._rx_packets = rx_packets

    def _note_receipt(self, now_ms: int) -> None:
        self._rx_due_ms = now_ms + max(self.rx_interval_ms * self.settings.mult, _DECAY_MS)

    def _try_decay(self, now_ms: int) -> None:
        """An interface that receives little but this need not be watched as closely."""
        others = self._count() - self._decay_rx_packets
        self._in_decay = others <= 2 * max(self._n_control, 1)
        self._begin_decay(now_ms)

    def _begin_decay(self, now_ms: int) -> None:
        self._decay_rx_packets, self._n_control = self._count(), 0
        self._decay_due_ms = now_ms + max(self.settings.decay_min_rx_ms, _DECAY_MS)

    def _poll(self) -> None:
        if self.state > DOWN and not self.flags & (_POLL | _FINAL):
            settings = self.settings
            min_rx_ms = settings.decay_min_rx_ms if self._in_decay else settings.min_rx_ms
            self._polled = settings.min_tx_ms, min_rx_ms
            self.flags |= _POLL
            self.next_tx_ms = 0
            log.info_rl("%s: Initiating poll sequence", self.name)

    def _set_state(self, state: int, diagnostic: int, now_ms: int) -> None:
        if self.settings.cpath_down:
            diagnostic = _CONCATENATED
        if (state, diagnostic) == (self.state, self.diagnostic):
            return
        log.info_rl('%s: BFD state change: %s->%s "%s"->"%s".', self.name, STATES[self.state],
                    STATES[state], DIAGNOSTICS[self.diagnostic],
                    DIAGNOSTICS[diagnostic])  # fmt: skip
        self.state, self.diagnostic = state, diagnostic
        self.changes += 1
        if state <= DOWN:
            self._forget_remote()
            if self._in_decay:
                self.min_rx_ms, self._in_decay = self.settings.min_rx_ms, False
        if state == UP and self.settings.decay_min_rx_ms:
            self._begin_decay(now_ms)

    # -- packets -------------------------------------------------------------------------

    def packet(self, now_ms: int) -> bytes | None:
        """A control packet, if one is due."""
        if not self.flags & _FINAL and now_ms < self.next_tx_ms:
            return None
        in_poll = self.flags & _POLL
        min_tx, min_rx = self._polled if in_poll else (self._wanted_tx_ms, self.min_rx_ms)
        data = _PACKET.pack(
            _VERSION << 5 | self.diagnostic, self.state << 6 | self.flags, self.settings.mult,
            _PACKET.size, self.discriminator, self.remote_discriminator,
            min_tx * 1_000, min_rx * 1_000, 0,
        )  # fmt: skip
        self.flags &= ~_FINAL
        self.last_tx_ms = now_ms
        self._schedule()
        return data

    def _schedule(self) -> None:
        """An interval less up to a quarter, so that sessions do not send in step; where one packet
        that is late would end the session, a tenth at least (RFC 5880, 6.8.7)."""
        self._random = (self._random * 1_103_515_245 + 12_345) & 0x7FFFFFFF
        interval = self.tx_interval_ms
        least = _MIN_EARLY if self.settings.mult == 1 else 0
        percents = least + (self._random >> 8) % (_MAX_EARLY - least + 1)
        self.next_tx_ms = self.last_tx_ms + interval - interval * percents // 100

    def receive(self, data: bytes, ttl: int, now_ms: int) -> None:
        """A control packet came in, under an IP header with that TTL."""
        self._look_at_receipt(now_ms)
        self._n_control += 1
        self.is_forwarding(now_ms)
        if ttl != _TTL:
            return
        if len(data) < _PACKET.size:
            log.info_rl(
                "%s: Received too-short BFD control message (only %d bytes long, at least %d "
                "required).", self.name, len(data), _PACKET.size,
            )  # fmt: skip
            return
        fields = _PACKET.unpack_from(data)
        problem = self._problem(fields)
        if problem:
            log.warn_rl("%s: %s.", self.name, problem)
            return
        self._obey(fields, now_ms)
        self.is_forwarding(now_ms)

    def _obey(self, fields: tuple[int, ...], now_ms: int) -> None:
        first, second, mult, _, self.remote_discriminator, _, min_tx, min_rx, _ = fields
        self._note_remote(second >> 6, first & 0x1F, second & _FLAGS)
        if mult != self.remote_mult:
            log.info("Interface %s remote mult value %d changed to %d", self.name,
                     self.remote_mult, mult)  # fmt: skip
            self.remote_mult = mult
        min_rx_ms = max(min_rx // 1_000, 1)
        if min_rx_ms != self.remote_min_rx_ms:
            self.remote_min_rx_ms = min_rx_ms
            if self.next_tx_ms:
                self._schedule()
        self.remote_min_tx_ms = max(min_tx // 1_000, 1)
        self.detect_ms = now_ms + self.rx_interval_ms * self.remote_mult
        self._follow(second >> 6, now_ms)
        if self.settings.forwarding_if_rx:
            self._demand_due_ms = now_ms + _DEMAND_INTERVALS * self.settings.min_rx_ms

    def _problem(self, fields: tuple[int, ...]) -> str:
        """Why a packet is not for this session (RFC 5880, 6.8.6)."""
        first, second, mult, length, own, yours, *_ = fields
        problems = (
            (first >> 5 != _VERSION, "Incorrect version"),
            (second & _AUTHENTICATED,
             "Authenticated control message with authentication disabled"),
            (length < _PACKET.size, "Unexpected length"),
            (not mult, "Zero multiplier"),
            (second & _MULTIPOINT, "Unsupported multipoint flag"),
            (not own, "NULL my_disc"),
            (yours and yours != self.discriminator, "Incorrect your_disc"),
            (not yours and second >> 6 > DOWN, "Null your_disc"),
        )  # fmt: skip
        return next((text for is_so, text in problems if is_so), "")

    def _note_remote(self, state: int, diagnostic: int, flags: int) -> None:
        self.changes += (state, diagnostic) != (self.remote_state, self.remote_diagnostic)
        self.remote_state, self.remote_diagnostic, self.remote_flags = state, diagnostic, flags
        if flags & _FINAL and self.flags & _POLL:
            self.min_tx_ms, self.min_rx_ms = self._polled
            self.flags &= ~_POLL
            log.info_rl("%s: Poll sequence terminated.", self.name)
        if flags & _POLL:
            self.flags = self.flags & ~_POLL | _FINAL

    def _follow(self, remote: int, now_ms: int) -> None:
        if remote == ADMIN_DOWN:
            if self.state != DOWN:
                self._set_state(DOWN, _REMOTE_DOWN, now_ms)
        elif self.state == DOWN:
            if remote in (DOWN, INIT):
                self._set_state(INIT if remote == DOWN else UP, self.diagnostic, now_ms)
        elif self.state == INIT:
            if remote > DOWN:
                self._set_state(UP, self.diagnostic, now_ms)
        elif remote <= DOWN:
            self._set_state(DOWN, _REMOTE_DOWN, now_ms)

    # -- what people see -----------------------------------------------------------------

    def status(self, now_ms: int) -> dict[str, str]:
        """Interface.bfd_status."""
        return {
            "forwarding": str(self.is_forwarding(now_ms)).lower(),
            "state": STATES[self.state],
            "diagnostic": diagnostic_text(self.diagnostic),
            "remote_state": STATES[self.remote_state],
            "remote_diagnostic": diagnostic_text(self.remote_diagnostic),
            "flap_count": str(self.n_flaps),
        }

    def show(self, now_ms: int) -> str:
        """The text of `bfd/show`."""
        return f"""\
  Forwarding: {str(self.is_forwarding(now_ms)).lower()}
  Detect Multiplier: {self.settings.mult}
  Concatenated Path Down: {str(self.settings.cpath_down).lower()}
  TX Interval: Approx {self.tx_interval_ms}ms
  RX Interval: Approx {self.rx_interval_ms}ms
  Detect Time: now {self.detect_ms - now_ms:+}ms
  Next TX Time: now {self.next_tx_ms - now_ms:+}ms
  Last TX Time: now {self.last_tx_ms - now_ms:+}ms

  Local Flags: {_flags_text(self.flags)}
  Local Session State: {STATES[self.state]}
  Local Diagnostic: {diagnostic_text(self.diagnostic)}
  Local Discriminator: {self.discriminator:#x}
  Local Minimum TX Interval: {self._wanted_tx_ms}ms
  Local Minimum RX Interval: {self.min_rx_ms}ms

  Remote Flags: {_flags_text(self.remote_flags)}
  Remote Session State: {STATES[self.remote_state]}
  Remote Diagnostic: {diagnostic_text(self.remote_diagnostic)}
  Remote Discriminator: {self.remote_discriminator:#x}
  Remote Minimum TX Interval: {self.remote_min_tx_ms}ms
  Remote Minimum RX Interval: {self.remote_min_rx_ms}ms
  Remote Detect Multiplier: {self.remote_mult}
"""


def _what_is_polled(settings: BfdSettings) -> tuple[int, int, int, bool]:
    """What the other end has to hear of."""
    decay, cpath_down = settings.decay_min_rx_ms, settings.cpath_down
    return settings.min_tx_ms, settings.min_rx_ms, decay, cpath_down


def diagnostic_text(code: int) -> str:
    return DIAGNOSTICS[code] if code < len(DIAGNOSTICS) else "Invalid Diagnostic"


def _flags_text(flags: int) -> str:
    words = [word for bit, word in enumerate(_FLAG_WORDS) if flags >> bit & 1]
    return " ".join(words) or "none"
