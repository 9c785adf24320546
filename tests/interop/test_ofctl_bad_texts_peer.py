"""Texts with mistakes made by chance: Debian's `ovs-ofctl` and ours say the same words of them, and
end alike. No switch is asked: what both can read fails for want of one."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest
from tests.support import text_mutations as texts
from tests.support.peers import peer_environment

from netloom.programs.ofctl import main

pytestmark = pytest.mark.interop

SEED = 20261122
N_SHORT, N_LONG = 60, 2500
QUIET = "-vconsole:off"
#: Names would be asked for before the text is read.
NUMBERS = (QUIET, "--no-names")
Run = Callable[[Sequence[str], str], tuple[str, str, int]]


class Kind(NamedTuple):
    """Good texts of one kind, and the command that reads them: its last argument, or a file."""

    texts: Sequence[str]
    words: tuple[str, ...]
    in_file: bool = False

    def command(self, text: str) -> tuple[tuple[str, ...], str]:
        """The command line, and its standard input."""
        return ((*self.words, "-"), text + "\n") if self.in_file else ((*self.words, text), "")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem + "_of_mistakes", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


CORPUS = load(Path(__file__).parent / "test_ofctl_corpus_peer.py")
#: Out of range in a part of a field, the number of a port is anything.
FLOWS = [flow for flows in CORPUS.GOOD.values() for flow in flows
         if "in_port[" not in flow.lower().replace("_oxm", "")]  # fmt: skip
LINES = [f"{word} {flow}" for word, flow in zip(texts.COMMANDS * 20, FLOWS, strict=False)]


def with_groups(*words: str) -> Kind:
    return Kind(texts.GROUPS, (*NUMBERS, *words, "nosuch"))


def with_meters(*words: str) -> Kind:
    return Kind(texts.METERS, (*NUMBERS, *words, "nosuch"))


def with_filters(*words: str) -> Kind:
    return Kind(texts.FILTERS, (*NUMBERS, *words, "nosuch"))


KINDS = {
    "flow": Kind(FLOWS, (QUIET, "parse-flow")),
    "lines of flows": Kind(LINES, (QUIET, "parse-flows"), in_file=True),
    "modified flow": Kind(FLOWS, (*NUMBERS, "mod-flows", "nosuch")),
    "exact flow": Kind(FLOWS, (*NUMBERS, "--strict", "mod-flows", "nosuch")),
    "bundle": Kind(texts.BUNDLES, (*NUMBERS, "-OOpenFlow14", "bundle", "nosuch"), in_file=True),
    "group": Kind(texts.GROUPS, (QUIET, "parse-group")),
    "group to add": with_groups("-OOpenFlow13", "add-group"),
    "groups of a file": Kind(texts.GROUPS, (*NUMBERS, "add-groups", "nosuch"), in_file=True),
    "group to modify": with_groups("-OOpenFlow13", "mod-group"),
    "group to delete": with_groups("-OOpenFlow13", "del-groups"),
    "group to look at": with_groups("-OOpenFlow15", "dump-groups"),
    "buckets to insert": with_groups("-OOpenFlow15", "insert-buckets"),
    "buckets to remove": with_groups("-OOpenFlow15", "remove-buckets"),
    "meter": with_meters("-OOpenFlow13", "add-meter"),
    "meter to modify": with_meters("-OOpenFlow13", "mod-meter"),
    "meter to delete": with_meters("-OOpenFlow13", "del-meters"),
    "meter to look at": with_meters("-OOpenFlow13", "meter-stats"),
    "packet": Kind(texts.PACKET_OUTS, (*NUMBERS, "packet-out", "nosuch")),
    "options": Kind(texts.TLV_MAPS, (QUIET, "add-tlv-map", "nosuch")),
    "connection": Kind(texts.CT_TUPLES, (QUIET, "ct-flush", "nosuch")),
    "watch": Kind(texts.WATCHES, (*NUMBERS, "monitor", "nosuch")),
    "flows to look at": with_filters("dump-flows"),
    "flows to add up": with_filters("-OOpenFlow13", "dump-aggregate"),
    "flows to delete": with_filters("del-flows"),
    "flow to delete": with_filters("--strict", "del-flows"),
    "composed packet": Kind(texts.FILTERS, (QUIET, "compose-packet")),
}


@pytest.fixture
def debian(tmp_path: Path) -> Run:
    environment = peer_environment(tmp_path)

    def run(words: Sequence[str], text: str) -> tuple[str, str, int]:
        done = subprocess.run(
            ["ovs-ofctl", *words], input=text.encode(), capture_output=True, env=environment,
            check=False,
        )  # fmt: skip
        # Later releases call it so what is wrong of a connection.
        errors = done.stderr.decode().replace("to parse ct-tuple:", "to parse CT match:")
        zone = "Failed to parse zone"
        errors = errors.replace(f" {zone}", f" Failed to parse CT match: {zone.lower()}")
        return done.stdout.decode(), errors, done.returncode

    return run


@pytest.fixture
def ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR"):
        monkeypatch.setenv(name, str(tmp_path))

    def run(words: Sequence[str], text: str) -> tuple[str, str, int]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        capsys.readouterr()
        status = main(["ovs-ofctl", *words])
        printed = capsys.readouterr()
        return printed.out, printed.err, status

    return run


def is_odd(text: str) -> bool:
    """Whether Debian's 3.1 forgets a message here, and says it before the next one."""
    return text.count("ct_nw_proto") > 1


def check(kind: Kind, n_texts: int, debian: Run, ours: Run) -> None:
    differences = []
    for text in islice(texts.Mutator(SEED, kind.texts), n_texts):
        if is_odd(text):
            continue
        words, given = kind.command(text)
        expected, found = debian(words, given), ours(words, given)
        if found != expected:
            differences.append((text, expected, found))
    assert differences == []


@pytest.mark.parametrize("name", KINDS)
def test_mistakes_are_answered_alike(debian: Run, ours: Run, name: str) -> None:
    check(KINDS[name], N_SHORT, debian, ours)


@pytest.mark.long
@pytest.mark.parametrize("name", KINDS)
def test_thousands_of_mistakes_are_answered_alike(debian: Run, ours: Run, name: str) -> None:
    check(KINDS[name], N_LONG, debian, ours)
