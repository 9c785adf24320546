"""Logging in the format and with the controls of Open vSwitch's vlog.

    log = get_logger("bridge")
    log.info("added interface %s on port %d", name, port)
    log.warn_rl("%s: dropping packet", name)          # at most a burst of 60, then 60 a minute

Every message has a module and a level and goes to three destinations, each with its own level per
module and its own pattern: *syslog*, *console* (standard error) and *file* (only after
`--log-file`). Module names are the ones that Open vSwitch uses, since `vlog/set
MODULE:DEST:LEVEL`, log watchers and test-suites name them.

A process has one `Vlog`, which `get_logger` and `vlog` share. It is the one global registry of
Netloom: a logger is wanted by modules that are imported before any program has begun to run, and
handing it through every constructor would put a parameter on every class for something that has
no influence on what is computed.

Rate limits are token buckets, one per format string (that is: per place in the code) unless the
module's messages share one (`limit_together`). The first message that gets through after others
were held back is preceded by one that counts them.

Not the standard library's `logging`: it takes 8 ms to import, which is half of what a classic tool
may take in all. A message that nobody wants costs one comparison.
"""

from __future__ import annotations

import posix
import sys

from . import log_pattern
from .clock import Clock, SystemClock
from .errors import CommandError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    #: Sends one syslog message: RFC 5424 priority (facility * 8 + severity) and text.
    SyslogSink = Callable[[int, str], None]

LEVELS = ("OFF", "EMER", "ERR", "WARN", "INFO", "DBG")
OFF, EMER, ERR, WARN, INFO, DBG = range(6)

DESTINATIONS = ("SYSLOG", "CONSOLE", "FILE")
SYSLOG, CONSOLE, FILE = range(3)

#: Where the pattern of --syslog-target stands, after those of the destinations.
TARGET = len(DESTINATIONS)

#: RFC 5424 severity of each level: alert, alert, error, warning, notice, debug.
SEVERITIES = (1, 1, 3, 4, 5, 7)

#: RFC 5424 facilities by number; the second authorization facility (10) cannot be chosen.
FACILITIES = (
    "kern",
    "user",
    "mail",
    "daemon",
    "auth",
    "syslog",
    "lpr",
    "news",
    "uucp",
    "clock",
    None,
    "ftp",
    "ntp",
    "audit",
    "alert",
    "clock2",
    "local0",
    "local1",
    "local2",
    "local3",
    "local4",
    "local5",
    "local6",
    "local7",
)
FACILITY_DAEMON = 3
FACILITY_LOCAL0 = 16

DEFAULT_PATTERNS = (
    "ovs|%05N|%c%T|%p|%m",
    "%D{%Y-%m-%dT%H:%M:%SZ}|%05N|%c%T|%p|%m",
    "%D{%Y-%m-%dT%H:%M:%S.###Z}|%05N|%c%T|%p|%m",
)

#: RFC 5424, less the priority: how messages go to --syslog-target.
TARGET_PATTERN = "1 %D{%Y-%m-%dT%H:%M:%S.###Z} %E %A %P %c - \ufeff%m"

#: What libc's syslog() puts before each message; shown by vlog/list-pattern.
LIBC_PREFIX = "<%B> %D{%h %e %T} %E %A: "

#: The default rate limit of the `*_rl` calls: so many at once, and so many per minute.
RATE_PER_MINUTE = 60
BURST = 60


class RateLimit:
    """A token bucket: `burst` messages at once, refilled by `per_minute`."""

    __slots__ = ("_burst", "_filled_ms", "_per_minute", "_tokens", "dropped", "first_ms", "last_ms")

    #: Tokens that one message costs; the bucket gains `per_minute` tokens each millisecond.
    MESSAGE = 60_000

    def __init__(self, per_minute: int, burst: int) -> None:
        self._per_minute = per_minute
        self._burst = burst * self.MESSAGE
        self._tokens = self._burst
        self._filled_ms: int | None = None
        self.dropped = 0
        self.first_ms = 0
        self.last_ms = 0

    def admit(self, now_ms: int) -> bool:
        """Whether a message may pass now; otherwise it is counted as dropped."""
        if self._filled_ms is not None:
            gained = (now_ms - self._filled_ms) * self._per_minute
            self._tokens = min(self._burst, self._tokens + gained)
        self._filled_ms = now_ms
        if self._tokens >= self.MESSAGE:
            self._tokens -= self.MESSAGE
            return True
        if not self.dropped:
            self.first_ms = now_ms
        self.last_ms = now_ms
        self.dropped += 1
        return False


class Logger:
    """The log of one module. `threshold` is the highest level that any destination wants."""

    __slots__ = (
        "_limits", "_shared", "_vlog", "honor_rate_limits", "levels", "module", "threshold",
    )  # fmt: skip

    def __init__(self, module: str, owner: Vlog, levels: list[int]) -> None:
        self.module = module
        self._vlog = owner
        self._limits: dict[str, RateLimit] = {}
        self._shared: RateLimit | None = None
        self.levels = levels
        self.threshold = OFF
        self.honor_rate_limits = True

    @property
    def is_dbg_enabled(self) -> bool:
        return self.threshold >= DBG

    def log(self, level: int, fmt: str, *args: object) -> None:
        """A message whose level is a value (EMER to DBG)."""
        if self.threshold >= level:
            self._vlog.emit(self, level, fmt % args if args else fmt)

    def emer(self, fmt: str, *args: object) -> None:
        self.log(EMER, fmt, *args)

    def err(self, fmt: str, *args: object) -> None:
        self.log(ERR, fmt, *args)

    def warn(self, fmt: str, *args: object) -> None:
        self.log(WARN, fmt, *args)

    def info(self, fmt: str, *args: object) -> None:
        self.log(INFO, fmt, *args)

    def dbg(self, fmt: str, *args: object) -> None:
        if self.threshold >= DBG:
            self._vlog.emit(self, DBG, fmt % args if args else fmt)

    def log_rl(self, level: int, limit: RateLimit | None, fmt: str, *args: object) -> None:
        """As `log`, held back by `limit` (None for the default limit of this format string)."""
        if self.threshold < level:
            return
        if self.honor_rate_limits:
            if limit is None:
                limit = self._shared or self._limits.get(fmt)
                if limit is None:
                    limit = self._limits[fmt] = RateLimit(RATE_PER_MINUTE, BURST)
            now_ms = self._vlog.clock.now_ms()
            if not limit.admit(now_ms):
                return
            if limit.dropped:
                self._report_dropped(level, limit, now_ms)
        self._vlog.emit(self, level, fmt % args if args else fmt)

    def limit_together(self, per_minute: int, burst: int) -> None:
        """From now on, let the `*_rl` messages of this module share one limit."""
        self._shared = RateLimit(per_minute, burst)

    def admits(self, level: int, about: str, per_minute: int, burst: int) -> bool:
        """Whether a message of several lines may pass now, which the caller then logs line by
        line; the messages `about` the same thing share a limit."""
        if self.threshold < level:
            return False
        if not self.honor_rate_limits:
            return True
        limit = self._limits.get(about)
        if limit is None:
            limit = self._limits[about] = RateLimit(per_minute, burst)
        now_ms = self._vlog.clock.now_ms()
        if not limit.admit(now_ms):
            return False
        if limit.dropped:
            self._report_dropped(level, limit, now_ms)
        return True

    def _report_dropped(self, level: int, limit: RateLimit, now_ms: int) -> None:
        count, limit.dropped = limit.dropped, 0
        since_s = (now_ms - limit.first_ms) // 1000
        last_s = (now_ms - limit.last_ms) // 1000
        self._vlog.emit(
            self,
            level,
            f"Dropped {count} log messages in last {since_s} seconds "
            f"(most recently, {last_s} seconds ago) due to excessive rate",
        )

    def err_rl(self, fmt: str, *args: object) -> None:
        self.log_rl(ERR, None, fmt, *args)

    def warn_rl(self, fmt: str, *args: object) -> None:
        self.log_rl(WARN, None, fmt, *args)

    def info_rl(self, fmt: str, *args: object) -> None:
        self.log_rl(INFO, None, fmt, *args)

    def dbg_rl(self, fmt: str, *args: object) -> None:
        self.log_rl(DBG, None, fmt, *args)


def _libc_syslog(priority: int, message: str) -> None:
    import syslog

    # Neither bytes that are not UTF-8 (surrogates here) nor NUL can be passed on.
    syslog.syslog(priority, message.encode("utf-8", "replace").decode().replace("\0", " "))


class Vlog:
    """All loggers of a process, the destinations and their settings."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.program = "ovs"
        #: Names the process in %T; empty in the main process, "monitor" in a monitor.
        self.thread = ""
        self._loggers: dict[str, Logger] = {}
        self._default_levels = [INFO, INFO, INFO]
        self._started_ms = self.clock.now_ms()
        self._serial = 0
        self._facility: int | None = None
        #: Of the destinations, and of --syslog-target.
        self._patterns = [*DEFAULT_PATTERNS, TARGET_PATTERN]
        #: Compiled when there is something to log.
        self._formats: list[log_pattern.Pattern | None] = [None] * len(self._patterns)
        self._syslog_prefix = LIBC_PREFIX
        self._syslog_sink: SyslogSink = _libc_syslog
        self._target_sink: SyslogSink | None = None
        self._warn_of_target = False
        self._file_name: str | None = None
        self._file_fd = -1

    # Loggers and levels.

    def logger(self, module: str) -> Logger:
        found = self._loggers.get(module)
        if found is None:
            found = self._loggers[module] = Logger(module, self, list(self._default_levels))
            self._update_threshold(found)
        return found

    def declare(self, modules: Iterable[str]) -> None:
        """Make module names known before the modules are imported (`-vMODULE` needs them)."""
        for module in modules:
            self.logger(module)

    def modules(self) -> list[Logger]:
        return [self._loggers[name] for name in sorted(self._loggers)]

    def levels(self) -> dict[str, list[int]]:
        """Module -> its level at each destination; "" for modules yet to come."""
        return {name: list(logger.levels) for name, logger in self._loggers.items()} | {
            "": list(self._default_levels)
        }

    def set_levels(self, levels: dict[str, list[int]]) -> None:
        """Go back to what `levels` returned; modules that were unknown then get the default."""
        self._default_levels = list(levels[""])
        for name, logger in self._loggers.items():
            logger.levels[:] = levels.get(name, self._default_levels)
            self._update_threshold(logger)

    def _update_threshold(self, logger: Logger) -> None:
        levels = logger.levels
        logger.threshold = max(levels[SYSLOG], levels[CONSOLE])
        if self._file_fd >= 0:
            logger.threshold = max(logger.threshold, levels[FILE])

    def set_level(self, level: int, module: str | None = None, dest: int | None = None) -> None:
        """Set `level` for one module or all, on one destination or all."""
        chosen = [self.logger(module)] if module is not None else list(self._loggers.values())
        wanted = range(3) if dest is None else (dest,)
        for which in wanted:
            if module is None:
                self._default_levels[which] = level
            for logger in chosen:
                logger.levels[which] = level
        for logger in chosen:
            self._update_threshold(logger)

    def set_rate_limits(self, names: Iterable[str], honor: bool) -> None:
        """Switch rate limits on or off for the named modules, or for all if none is named."""
        wanted = list(names)
        for name in wanted:
            if name.lower() != "any" and self._module_named(name) is None:
                raise CommandError("unknown module")
        every = not wanted or any(name.lower() == "any" for name in wanted)
        lower = {name.lower() for name in wanted}
        for logger in self._loggers.values():
            if every or logger.module.lower() in lower:
                logger.honor_rate_limits = honor

    def _module_named(self, word: str) -> str | None:
        return next((name for name in self._loggers if name.lower() == word.lower()), None)

    # The text interface of -v and vlog/set.

    def apply(self, spec: str) -> None:
        """Do what `-v SPEC` or `vlog/set SPEC` asks; `CommandError` if it is not understood."""
        stripped = spec.lstrip(" ,:\t")
        words = [w for w in stripped.replace(",", " ").replace(":", " ").split() if w]
        keyword = words[0].upper() if words else ""
        rest = stripped[len(keyword) :].lstrip(" ,:\t")
        if keyword == "PATTERN":
            self._apply_pattern(rest)
        elif keyword == "FACILITY":
            if len(words) < 2 or words[1].lower() not in FACILITIES:
                raise CommandError("invalid facility")
            self._facility = FACILITIES.index(words[1].lower())
        else:
            self._apply_levels(words)

    def _apply_pattern(self, rest: str) -> None:
        end = next((i for i, char in enumerate(rest) if char in " ,:\t"), len(rest))
        destination, pattern = rest[:end], rest[end + 1 :]
        if not destination:
            raise CommandError("missing destination")
        name = destination.upper()
        if name != "ANY" and name not in DESTINATIONS:
            raise CommandError(f'unknown destination "{destination}"')
        for which, known in enumerate(DESTINATIONS):
            if name in ("ANY", known):
                self._patterns[which] = pattern
                self._formats[which] = None

    def _apply_levels(self, words: list[str]) -> None:
        module: str | None = None
        level: int | None = None
        dest: int | None = None
        for word in words:
            upper = word.upper()
            if upper == "ANY":
                continue
            if upper in DESTINATIONS:
                if dest is not None:
                    raise CommandError("cannot specify multiple destinations")
                dest = DESTINATIONS.index(upper)
            elif upper in LEVELS:
                if level is not None:
                    raise CommandError("cannot specify multiple levels")
                level = LEVELS.index(upper)
            elif (known := self._module_named(word)) is not None:
                if module is not None:
                    raise CommandError("cannot specify multiple modules")
                module = known
            else:
                raise CommandError(f'no destination, level, or module "{word}"')
        self.set_level(DBG if level is None else level, module, dest)

    # Destinations.

    def set_syslog(self, sink: SyslogSink, prefix: str) -> None:
        """Send syslog messages to `sink`; `prefix` is the pattern of what it puts before them."""
        self._syslog_sink = sink
        self._syslog_prefix = prefix

    def set_syslog_target(self, sink: SyslogSink) -> None:
        """Send syslog messages to `sink` in addition."""
        self._target_sink = sink
        # Said by the first message only, and not at all by a program that has nothing to log.
        self._warn_of_target = not self._serial

    @property
    def file_name(self) -> str | None:
        return self._file_name

    def open_file(self, name: str) -> None:
        """Log to the file `name` from now on. An OSError is logged and raised."""
        logger = self.logger("vlog")
        try:
            new_fd = posix.open(
                name, posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_CLOEXEC, 0o660
            )
        except OSError as error:
            logger.warn("failed to open %s for logging: %s", name, error.strerror)
            raise
        if self._file_fd >= 0:
            posix.close(self._file_fd)
            self._file_fd = -1
            logger.info("closing log file")
        self._file_name = name
        self._file_fd = new_fd
        self._update_thresholds()
        logger.info("opened log file %s", name)

    def reopen_file(self) -> None:
        """Open the log file again, unless it is still the file of that name."""
        if self._file_name is None:
            return
        if self._file_fd >= 0:
            try:
                there = posix.stat(self._file_name)
            except FileNotFoundError:
                there = None
            here = posix.fstat(self._file_fd)
            if there and (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                return
        self.open_file(self._file_name)

    def close_file(self) -> None:
        if self._file_fd >= 0:
            posix.close(self._file_fd)
            self._file_fd = -1
            self._update_thresholds()

    def _update_thresholds(self) -> None:
        for logger in self._loggers.values():
            self._update_threshold(logger)

    # Output.

    def emit(self, logger: Logger, level: int, message: str) -> None:
        """Write a message to each destination that wants it."""
        if self._warn_of_target:
            self._warn_of_target = False
            warning = "--syslog-target flag is deprecated, use --syslog-method instead"
            self.logger("vlog").warn(warning)
        self._serial += 1
        record = log_pattern.Record(
            level=LEVELS[level],
            module=logger.module,
            message=message,
            serial=self._serial,
            program=self.program,
            thread=self.thread,
            wall_ms=self.clock.wall_ms(),
            elapsed_ms=self.clock.now_ms() - self._started_ms,
            priority=self._priority(FACILITY_LOCAL0, level),
        )
        if logger.levels[CONSOLE] >= level:
            self._write_console(self._text(CONSOLE, record) + "\n")
        if logger.levels[SYSLOG] >= level:
            daemon = self._priority(FACILITY_DAEMON, level)
            for line in self._text(SYSLOG, record).split("\n"):
                self._syslog_sink(daemon, line)
            if self._target_sink is not None:
                self._target_sink(record.priority, self._text(TARGET, record))
        if self._file_fd >= 0 and logger.levels[FILE] >= level:
            self._write_file(self._text(FILE, record) + "\n")

    def _text(self, which: int, record: log_pattern.Record) -> str:
        pattern = self._formats[which]
        if pattern is None:
            pattern = self._formats[which] = log_pattern.compile_pattern(self._patterns[which])
        return pattern(record)

    def _priority(self, default_facility: int, level: int) -> int:
        facility = default_facility if self._facility is None else self._facility
        return facility << 3 | SEVERITIES[level]

    def _write_console(self, text: str) -> None:
        if sys.stderr is None:
            return
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            # A console that has gone away cannot be told so; the other destinations still work.
            return

    def _write_file(self, text: str) -> None:
        try:
            posix.write(self._file_fd, text.encode("utf-8", "backslashreplace"))
        except OSError:
            # A full disk must not stop the daemon; the message is in the other destinations.
            return

    # What vlog/list and vlog/list-pattern print.

    def format_levels(self) -> str:
        lines = [
            "                 console    syslog    file\n",
            "                 -------    ------    ------\n",
        ]
        for logger in self.modules():
            console, system, file = (LEVELS[logger.levels[d]] for d in (CONSOLE, SYSLOG, FILE))
            lines.append(f"{logger.module:<16}  {console:>4}       {system:>4}       {file:>4}\n")
        return "".join(lines)

    def format_patterns(self) -> str:
        lines = [
            "         prefix                            format\n",
            "         ------                            ------\n",
        ]
        for which, name in enumerate(DESTINATIONS):
            prefix = self._syslog_prefix if which == SYSLOG else "none"
            lines.append(f"{name:<7}  {prefix:<32}  {self._patterns[which]}\n")
        return "".join(lines)


vlog = Vlog()


def get_logger(module: str) -> Logger:
    """The logger of `module` in this process."""
    return vlog.logger(module)
