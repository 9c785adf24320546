"""ovs-pki makes what Debian's makes with openssl, and either goes on with the other's files.

Files are compared by name, mode and text, output by line; keys, digests and times differ."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.peers import peer_tools
from tests.support.switches import own_tools

from netloom.lab.switch import Programs

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not shutil.which("openssl"), reason="Debian's ovs-pki needs openssl"),
]
#: What is not the same in two runs -> what stands for it.
CHANGING = (
    (r"\b[0-9a-f]{40}\b|\b[0-9A-F]{40}\b", "DIGEST"),
    (r"\bV\t\d+Z", "V\tEND"),
    (r"(?m)^ +(?:[0-9a-f]{2}:?)+$", "HEX"),
    (r"(?:[0-9A-F]{2}:){19}[0-9A-F]{2}", "IDENTIFIER"),
    (r"\b\d\d:\d\d:\d\d\b", "TIME"),
    (r"(?m)^[A-Za-z0-9+/=]{1,64}$", "BASE64"),
    (r"(?:(?:HEX|BASE64)\n)+", "...\n"),
)


class Tool:
    """The ovs-pki of `programs`, whose files are in `folder`."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        found = (Path(part, "ovs-pki") for part in programs.path)
        self.program = next(path for path in found if path.exists())
        self.folder = folder
        folder.mkdir()

    def run(self, line: str, typed: str = "") -> tuple[int, str, str]:
        """Exit status, output and errors, by the tool's own name."""
        done = subprocess.run(
            [self.program, "-l", "log", *line.split()], cwd=self.folder, input=typed, text=True,
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        texts = (done.stdout, done.stderr)
        out, err = (steady(text.replace(str(self.program), "ovs-pki")) for text in texts)
        return done.returncode, out, err

    def files(self) -> dict[str, tuple[int, str]]:
        """All but logs: name -> mode and text."""
        return {
            str(path.relative_to(self.folder)): (
                path.stat().st_mode,
                steady(path.read_text()) if path.is_file() and path.name != "ca.cnf" else "",
            )
            for path in self.folder.rglob("*")
            if path.name != "log"
        }


def steady(text: str) -> str:
    """What does not change from run to run."""
    for pattern, instead in CHANGING:
        text = re.sub(pattern, instead, text)
    return text


@pytest.fixture
def peer(tmp_path: Path) -> Tool:
    return Tool(peer_tools(), tmp_path / "peer")


@pytest.fixture
def own(tmp_path: Path) -> Tool:
    return Tool(own_tools(tmp_path / "tools"), tmp_path / "own")


SESSION = """\
-d pki -B 1024 init
-d pki init
-d pki -B 1024 -u req a
-d pki -b sign a
-d pki verify a
-d pki verify a switch
-d pki verify a controller
-d pki fingerprint a-cert.pem
-d pki fingerprint pki/switchca/serial
-d pki -B 1024 req a
-d pki --batch sign a
-d pki -f --batch=1 sign a controller
-d pki verify a controller
-B 1024 -u -d pki req+sign b controller
-d pki verify b controller
-d pki self-sign b
-d pki --force self-sign b
-d pki verify b
-d=pki verify b
-d pki -B 1024 -f init
-d pki verify a controller
-d pki -B 1024 -u req+sign c switch
-d none -b sign c
-d none -b -f sign c
-d none verify c
verify none
-d pki self-sign none
-k dsa -d pki req d
-k dsa -D nothing -d pki req d
"""


def test_a_session_line_by_line(own: Tool, peer: Tool) -> None:
    for line in SESSION.splitlines():
        assert own.run(line) == peer.run(line), line
    assert own.files() == peer.files()


@pytest.mark.parametrize("typed", ["yes\n", "no\n", "YES\n", "", "maybe\nyes\n"])
def test_fingerprints_must_be_confirmed(own: Tool, peer: Tool, typed: str) -> None:
    for tool in (own, peer):
        tool.run("-d pki -B 1024 init")
        tool.run("-B 1024 -u req a")
    assert own.run("-d pki sign a", typed) == peer.run("-d pki sign a", typed)
    assert own.files() == peer.files()


WRONG = """\

foo
--foo
-x
-
-bfu
--batches= x
-k
--key
--bits
-d
-l
-k ecdsa req a
-B 512 req a
--bits=1000 fingerprint a
req
req a b
sign
sign a foo
sign a b c
fingerprint
self-sign
verify
verify a swi
verify nothing
-- -x
--help=3
--force=1 fingerprint a
"""


@pytest.mark.parametrize("line", WRONG.splitlines())
def test_wrong_command_lines(own: Tool, peer: Tool, line: str) -> None:
    if line.startswith("--batches"):
        # Debian's shell takes any option that begins so.
        assert own.run(line)[0] == 1
    else:
        assert own.run(line) == peer.run(line)


def test_help_is_the_same_but_for_the_length_of_keys(own: Tool, peer: Tool) -> None:
    status, text, errors = peer.run("--help")
    assert own.run("--help") == (status, text.replace("default: 2048", "default: 3072"), errors)


def test_either_goes_on_with_what_the_other_has_made(own: Tool, peer: Tool) -> None:
    for tool, name in ((own, "a"), (peer, "b")):
        tool.run("-d pki -B 1024 init")
        tool.run(f"-B 1024 -d pki req+sign {name}")
    for tool, other, name in ((own, peer, "a"), (peer, own, "b")):
        assert other.run(f"-d {tool.folder}/pki verify {tool.folder}/{name}")[0] == 0
        other.run("-B 1024 req c")
        assert other.run(f"-b -d {tool.folder}/pki sign c")[0] == 0
        for each in (own, peer):
            assert each.run(f"-d {tool.folder}/pki verify {other.folder}/c")[0] == 0
        index = (tool.folder / "pki/switchca/index.txt").read_text()
        assert [line.split("\t")[3] for line in index.splitlines()] == ["01", "02", "03"]


def test_openssl_reads_the_texts_and_goes_on_with_the_authority(own: Tool) -> None:
    own.run("-d pki -B 1024 init")
    own.run("-B 1024 -d pki req+sign a")
    folder = own.folder

    def openssl(*args: str, cwd: Path = folder) -> str:
        done = subprocess.run(
            ["openssl", *args], cwd=cwd, capture_output=True, text=True, check=True
        )
        return done.stdout

    certificate, request = (folder / f"a-{what}.pem" for what in ("cert", "req"))
    printed = openssl("x509", "-in", "a-cert.pem", "-text")
    assert certificate.read_text() == printed.replace(" = ", "=")
    assert request.read_text() == openssl("req", "-in", "a-req.pem", "-text")
    assert (
        openssl("verify", "-CAfile", "pki/switchca/cacert.pem", "a-cert.pem") == "a-cert.pem: OK\n"
    )
    openssl("ca", "-config", "ca.cnf", "-batch", "-in", str(request), "-out", "x.pem",
            "-extensions", "usr_cert", cwd=folder / "pki/switchca")  # fmt: skip
    assert (folder / "pki/switchca/serial").read_text() == "04\n"


def test_dsa_keys_are_certified(own: Tool) -> None:
    status, _, err = own.run("-k dsa -d pki -B 1024 init")
    assert (status, err.splitlines()[0]) == (0, "Generating DSA parameters, please wait...")
    assert own.run("-k dsa -d pki req+sign a")[0] == 0
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", "pki/switchca/cacert.pem", "a-cert.pem"],
        cwd=own.folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "a-cert.pem: OK\n"
    assert own.run("-d pki verify a") == (0, "a-cert.pem: OK\n", "")
