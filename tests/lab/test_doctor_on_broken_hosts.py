"""`netloom doctor` on a machine of which one thing is broken: it names that thing and its remedy.

Everything is broken in namespaces of the test's own, so that nobody else notices.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.support.kernel_programs import require_programs
from tests.support.switches import ROOT, needs_root

from netloom.datapath.ebpf.loader import OBJECT
from netloom.lab.lab import Lab
from netloom.lab.process import MAIN

pytestmark = [needs_root, pytest.mark.root]
HIDE = 'for one in $(command -v {0}); do mount --bind /dev/null "$(readlink -f "$one")"; done'
#: What is broken: by which commands, what is said then, and how it can be mended.
BROKEN = {
    "the BPF file system": (
        "umount -l /sys/fs/bpf",
        "warn  kernel     the BPF file system: /sys/fs/bpf is missing",
        "mount -t bpf bpf /sys/fs/bpf",
    ),
    "types of the kernel": (
        "mount -t tmpfs none /sys/kernel/btf",
        "warn  kernel     BTF of the kernel: /sys/kernel/btf/vmlinux is missing",
        "use a kernel with BTF",
    ),
    "TAP devices": (
        "mkdir -p /dev/net && mount -t tmpfs none /dev/net",
        "warn  kernel     TAP devices: /dev/net/tun is missing",
        "modprobe tun",
    ),
    "the programs of the data path": (
        f"mount --bind /dev/null {OBJECT}",
        "warn  kernel     no kernel data path: ",
        "NETLOOM_SYSTEM_DATAPATH=userspace",
    ),
    "ping": (HIDE.format("ping"), "FAIL  programs   ping is not installed", "iputils-ping"),
    "nft": (HIDE.format("nft"), "nft is not installed: no routers", "apt install nftables"),
    "dnsmasq": (
        HIDE.format("dnsmasq"),
        "dnsmasq is not installed: no DHCP",
        "apt install dnsmasq-base",
    ),
    "the number of files": ("ulimit -n 256", "warn  limits     only 256 open files", "ulimit -n"),
    "a lab": (
        "mkdir -p /run/netloom && mount -t tmpfs none /run/netloom && mkdir /run/netloom/dead"
        " && sh -c 'echo $$' > /run/netloom/dead/owner",
        "warn  leftovers  lab dead: its process is gone",
        "netloom clean-host",
    ),
}


def doctor(*argv: str, before: str = "true", inside: tuple[str, ...] = ()) -> tuple[int, str]:
    """Status and output of `netloom doctor`, after commands that break something in a mount
    namespace of its own."""
    script = f'{before} || exit 77; exec "$@"'
    done = subprocess.run(
        (*inside, "unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", MAIN,
         "doctor", *argv),
        env={
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONPATH": str(ROOT / "src"),
            "HOME": "/nonexistent",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )  # fmt: skip
    assert done.returncode != 77, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def remedy_of(said: str, output: str) -> str:
    """The line below the finding that says this."""
    lines = output.splitlines()
    (place,) = (number for number, line in enumerate(lines) if said in line)
    return lines[place + 1].strip() if lines[place + 1].startswith(" ") else ""


@pytest.fixture(scope="module")
def sound() -> str:
    """What is said of the machine as it is."""
    require_programs()
    return doctor()[1]


@pytest.mark.parametrize("what", sorted(BROKEN))
def test_what_is_broken_is_named_with_its_remedy(what: str, sound: str) -> None:
    before, said, remedy = BROKEN[what]
    if what not in ("nft", "dnsmasq"):
        assert said not in sound, "it is broken without our doing"
    status, output = doctor(before=before)
    assert remedy in remedy_of(said, output), output
    assert status == int(said.startswith("FAIL"))


@pytest.mark.parametrize(
    ("right", "use"),
    [("net_admin", "devices"), ("net_raw", "userspace data path"), ("sys_admin", "namespaces")],
)
def test_a_right_that_is_missing_is_named(right: str, use: str) -> None:
    dropped = ("setpriv", f"--bounding-set=-{right}")
    script = ("sh", "-c", 'exec "$@"', "sh", sys.executable, "-c", MAIN, "doctor")
    done = subprocess.run(
        (*dropped, *script),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"warn  rights     no CAP_{right.upper()}: no "
    assert use in done.stdout.partition(said)[2].partition("\n")[0], done.stdout + done.stderr
    assert remedy_of(said, done.stdout) == "-> run as root (sudo)"


def test_a_user_who_may_have_no_namespaces_is_told() -> None:
    own = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    forbid = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    less = ("setpriv", "--bounding-set=-sys_admin", sys.executable, "-c", MAIN, "doctor")
    done = subprocess.run(
        (*own, forbid, "sh", *less),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    if "max_user_namespaces" in done.stderr or "unshare:" in done.stderr:
        pytest.skip(f"no user namespace to try it in: {done.stderr}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "max_user_namespaces" in remedy_of("FAIL  rights     no user namespaces", done.stdout)


def path_between(lab: Lab, mtu: int) -> tuple[str, ...]:
    """Two hosts with a path of that MTU; what runs a command in the first. The other is at
    192.0.2.2."""
    far = lab.add_namespace("far")
    lab.host.ip("link", "add", "u0", "type", "veth", "peer", "name", "u1", "netns", far.name)
    for number, host in ((0, lab.host), (1, far)):
        host.ip("addr", "add", f"192.0.2.{number + 1}/24", "dev", f"u{number}")
        host.ip("link", "set", f"u{number}", "mtu", str(mtu), "up")
    return ("nsenter", f"--net=/run/netns/{lab.host.name}")


def test_a_path_too_narrow_for_tunnels_is_measured() -> None:
    with Lab("narrow") as lab:
        inside = path_between(lab, 1400)
        status, output = doctor("--to", "192.0.2.2", inside=inside)
        said = "warn  path       192.0.2.2: MTU 1400, of which a tenant's packet in VXLAN has 1350"
        assert "global_physnet_mtu = 1400" in remedy_of(said, output), output
        assert status == 0
        status, output = doctor("--to", "192.0.2.9", inside=inside)
        remedy = remedy_of("FAIL  path       192.0.2.9 does not answer", output)
        assert (status, "ip route get 192.0.2.9" in remedy) == (1, True)


def test_a_path_wide_enough_for_tunnels_is_well() -> None:
    with Lab("wide") as lab:
        status, output = doctor("--to", "192.0.2.2", inside=path_between(lab, 1600))
        assert "ok    path       192.0.2.2: MTU 1600, of which" in output
        assert status == 0
