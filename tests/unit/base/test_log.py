from __future__ import annotations

import os
from pathlib import Path

import pytest

from netloom.base.clock import ManualClock
from netloom.base.errors import CommandError
from netloom.base.log import CONSOLE, DBG, OFF, WARN, RateLimit, Vlog
from netloom.base.log_pattern import Record, compile_pattern

#: 2026-11-21T02:04:29.561Z
WALL_MS = 1_795_226_669_561


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(now_ms=5_000, wall_ms=WALL_MS)


@pytest.fixture
def vlog(clock: ManualClock) -> Vlog:
    made = Vlog(clock)
    made.program = "ovs-vswitchd"
    made.set_syslog(lambda priority, text: None, "")
    return made


def console(vlog: Vlog, capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_console_line_has_time_serial_module_level_and_message(
    vlog: Vlog, capsys: pytest.CaptureFixture[str]
) -> None:
    log = vlog.logger("bridge")
    log.info("added %s on port %d", "vif0", 3)
    log.warn("no arguments: 100%")
    assert console(vlog, capsys) == [
        "2026-11-21T02:04:29Z|00001|bridge|INFO|added vif0 on port 3",
        "2026-11-21T02:04:29Z|00002|bridge|WARN|no arguments: 100%",
    ]


def test_file_line_has_milliseconds(vlog: Vlog, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    vlog.set_level(OFF, None, CONSOLE)
    vlog.open_file(str(path))
    vlog.logger("bridge").info("hello")
    assert path.read_text() == (
        f"2026-11-21T02:04:29.561Z|00001|vlog|INFO|opened log file {path}\n"
        "2026-11-21T02:04:29.561Z|00002|bridge|INFO|hello\n"
    )


def test_debug_messages_appear_only_when_asked_for(
    vlog: Vlog, capsys: pytest.CaptureFixture[str]
) -> None:
    log = vlog.logger("bridge")
    log.dbg("hidden")
    assert not log.is_dbg_enabled
    vlog.apply("bridge:console:dbg")
    assert log.is_dbg_enabled
    log.dbg("shown")
    assert [line.split("|")[-1] for line in console(vlog, capsys)] == ["shown"]


def test_level_of_the_file_does_not_count_while_no_file_is_open(vlog: Vlog) -> None:
    log = vlog.logger("bridge")
    vlog.apply("file:dbg")
    assert not log.is_dbg_enabled


def test_later_loggers_take_the_levels_set_for_all(vlog: Vlog) -> None:
    vlog.apply("console:dbg")
    assert vlog.logger("new").is_dbg_enabled


def test_missing_level_in_a_spec_means_debug(vlog: Vlog) -> None:
    log = vlog.logger("bridge")
    vlog.apply("BRIDGE")
    assert log.levels == [DBG, DBG, DBG]
    vlog.apply("console, bridge warn")
    assert log.levels == [DBG, WARN, DBG]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nosuch", 'no destination, level, or module "nosuch"'),
        ("bridge:vlog:dbg", "cannot specify multiple modules"),
        ("file:syslog", "cannot specify multiple destinations"),
        ("dbg:info", "cannot specify multiple levels"),
        ("PATTERN", "missing destination"),
        ("PATTERN:foo:x", 'unknown destination "foo"'),
        ("FACILITY", "invalid facility"),
        ("FACILITY:foo", "invalid facility"),
    ],
)
def test_bad_specs_are_refused_in_open_vswitchs_words(vlog: Vlog, spec: str, message: str) -> None:
    vlog.declare(["bridge", "vlog"])
    with pytest.raises(CommandError) as caught:
        vlog.apply(spec)
    assert str(caught.value) == message


def test_pattern_of_one_destination_can_be_set(
    vlog: Vlog, capsys: pytest.CaptureFixture[str]
) -> None:
    vlog.apply("PATTERN:console:%c:%p|%m")
    vlog.logger("bridge").err("x")
    assert console(vlog, capsys) == ["bridge:ERR|x"]
    assert "CONSOLE  none                              %c:%p|%m\n" in vlog.format_patterns()


def test_rate_limit_holds_back_and_then_counts(
    vlog: Vlog, clock: ManualClock, capsys: pytest.CaptureFixture[str]
) -> None:
    log = vlog.logger("bridge")
    limit = RateLimit(per_minute=1, burst=2)
    for _ in range(5):
        log.log_rl(WARN, limit, "flood")
        clock.advance(2_000)
    clock.advance(60_000)
    log.log_rl(WARN, limit, "flood")
    assert [line.split("|")[-1] for line in console(vlog, capsys)] == [
        "flood",
        "flood",
        "Dropped 3 log messages in last 66 seconds (most recently, 62 seconds ago) "
        "due to excessive rate",
        "flood",
    ]


def test_rate_limit_is_per_format_string(vlog: Vlog, capsys: pytest.CaptureFixture[str]) -> None:
    log = vlog.logger("bridge")
    for number in range(70):
        log.warn_rl("port %d", number)
    log.warn_rl("something else")
    messages = [line.split("|")[-1] for line in console(vlog, capsys)]
    assert len(messages) == 61
    assert messages[-1] == "something else"


def test_rate_limits_can_be_switched_off_per_module(
    vlog: Vlog, capsys: pytest.CaptureFixture[str]
) -> None:
    log = vlog.logger("bridge")
    vlog.set_rate_limits(["Bridge"], honor=False)
    for number in range(70):
        log.warn_rl("port %d", number)
    assert len(console(vlog, capsys)) == 70
    with pytest.raises(CommandError, match="unknown module"):
        vlog.set_rate_limits(["nosuch"], honor=False)


def test_reopen_follows_a_rotated_file_and_leaves_an_unmoved_one(
    vlog: Vlog, tmp_path: Path
) -> None:
    vlog.set_level(OFF, None, CONSOLE)
    path, old = tmp_path / "x.log", tmp_path / "x.log.1"
    vlog.open_file(str(path))
    vlog.reopen_file()
    assert path.read_text().count("\n") == 1
    os.rename(path, old)
    vlog.reopen_file()
    vlog.logger("bridge").info("after")
    assert "after" in path.read_text()
    assert "after" not in old.read_text()


def test_closed_file_gets_nothing_until_reopened(vlog: Vlog, tmp_path: Path) -> None:
    vlog.set_level(OFF, None, CONSOLE)
    path = tmp_path / "x.log"
    vlog.open_file(str(path))
    vlog.close_file()
    vlog.logger("bridge").info("lost")
    vlog.reopen_file()
    assert "lost" not in path.read_text()


def test_file_that_cannot_be_opened_is_reported(
    vlog: Vlog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none" / "x.log"
    with pytest.raises(FileNotFoundError):
        vlog.open_file(str(path))
    assert console(vlog, capsys)[0].endswith(
        f"vlog|WARN|failed to open {path} for logging: No such file or directory"
    )


def test_syslog_gets_priority_and_one_message_per_line(vlog: Vlog) -> None:
    sent: list[tuple[int, str]] = []
    vlog.set_syslog(lambda priority, text: sent.append((priority, text)), "<%B>")
    vlog.apply("console:off")
    vlog.logger("bridge").warn("one\ntwo")
    vlog.apply("FACILITY:local3")
    vlog.logger("bridge").info("three")
    assert sent == [
        (3 << 3 | 4, "ovs|00001|bridge|WARN|one"),
        (3 << 3 | 4, "two"),
        (19 << 3 | 5, "ovs|00002|bridge|INFO|three"),
    ]


def test_levels_are_listed_in_columns(vlog: Vlog) -> None:
    vlog.declare(["dpif_lookup_autovalidator", "bridge"])
    vlog.apply("bridge:console:off")
    assert vlog.format_levels() == (
        "                 console    syslog    file\n"
        "                 -------    ------    ------\n"
        "bridge             OFF       INFO       INFO\n"
        "dpif_lookup_autovalidator  INFO       INFO       INFO\n"
    )


def record(**changes: object) -> Record:
    fields: dict[str, object] = {
        "level": "INFO",
        "module": "vlog",
        "message": "opened",
        "serial": 111,
        "program": "ovs-vswitchd",
        "thread": "",
        "wall_ms": WALL_MS,
        "elapsed_ms": 101_989,
        "priority": 157,
    }
    fields.update(changes)
    return Record(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        ("%A %B %c %N %r %t [%T]", "ovs-vswitchd 157 vlog 111 101989 main []"),
        ("%-10p| %010p %%x %q", "INFO      | 000000INFO %x q"),
        ("%6p|%2p|%-6p|", "  INFO|INFO|INFO  |"),
        ("%05N%n%m", "00111\nopened"),
        ("%D", "2026-11-21 02:04:29.561"),
        ("%D{%H:%M:%S.####}", "02:04:29.5610"),
        ("%D{#}", "5"),
        ("%D{%%S}", "%S"),
        ("%", ""),
        ("plain", "plain"),
    ],
)
def test_pattern_escapes_expand(pattern: str, line: str) -> None:
    assert compile_pattern(pattern)(record()) == line


def test_thread_name_shows_in_pattern() -> None:
    assert compile_pattern("%t%T")(record(thread="monitor")) == "monitor(monitor)"
    assert compile_pattern("%P")(record()) == str(os.getpid())
