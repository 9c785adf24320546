"""What syslog daemons get, by each way to send to them."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from netloom.base.log import CONSOLE, OFF, Vlog
from netloom.transport.log_options import LogOptionError, apply_log_option


@pytest.fixture
def vlog() -> Vlog:
    made = Vlog()
    made.program = "ovs-vswitchd"
    made.set_level(OFF, None, CONSOLE)
    made.set_syslog(lambda priority, text: None, "")
    return made


@pytest.fixture
def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(40)
    return sock


def test_udp_method_sends_priority_and_pattern(vlog: Vlog, udp: socket.socket) -> None:
    port = udp.getsockname()[1]
    assert apply_log_option(vlog, "syslog-method", f"udp:127.0.0.1:{port}")
    vlog.logger("unixctl").warn("failed to connect to %s", "x")
    assert udp.recv(1000) == b"<28>ovs|00001|unixctl|WARN|failed to connect to x"
    udp.close()


def test_unix_method_sends_priority_and_pattern(vlog: Vlog, tmp_path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(tmp_path / "log"))
    apply_log_option(vlog, "syslog-method", f"unix:{tmp_path}/log")
    vlog.logger("bridge").info("hello")
    assert sock.recv(1000) == b"<29>ovs|00001|bridge|INFO|hello"
    sock.close()
    vlog.logger("bridge").info("nobody listens, and nobody minds")


def test_target_gets_rfc_5424_after_a_word_on_its_age(vlog: Vlog, udp: socket.socket) -> None:
    port = udp.getsockname()[1]
    apply_log_option(vlog, "syslog-target", f"127.0.0.1:{port}")
    vlog.logger("unixctl").warn("failed")
    vlog.apply("FACILITY:local3")
    vlog.logger("unixctl").warn("again")
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    head = f"1 {time} {re.escape(os.uname().nodename)} ovs-vswitchd {os.getpid()}"
    for priority, module, message in (
        (132, "vlog", "--syslog-target flag is deprecated, use --syslog-method instead"),
        (132, "unixctl", "failed"),
        (156, "unixctl", "again"),
    ):
        text = udp.recv(1000).decode()
        assert re.fullmatch(f"<{priority}>{head} {module} - \ufeff{message}", text)
    udp.close()


def test_null_method_discards_and_unknown_methods_are_refused(vlog: Vlog) -> None:
    apply_log_option(vlog, "syslog-method", "null")
    assert "SYSLOG                                     ovs|" in vlog.format_patterns()
    with pytest.raises(LogOptionError, match="unsupported syslog method 'foo'"):
        apply_log_option(vlog, "syslog-method", "foo")


def test_bad_specs_name_the_option(vlog: Vlog) -> None:
    with pytest.raises(LogOptionError) as caught:
        apply_log_option(vlog, "verbose", "foo")
    assert str(caught.value) == 'processing "foo": no destination, level, or module "foo"'
    assert not apply_log_option(vlog, "other", None)
