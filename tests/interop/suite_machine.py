"""A machine of its own for the tests of Open vSwitch's suite that send real packets.

`inside` gives the words that run a command in new namespaces of network, mounts, names and
processes, with file systems to match: nothing of the host's network is seen or touched, and all
that is left when the command ends goes away with them. `equip` fills a folder with what tests run
and this machine has not:

* programs (nc, lftp, conntrack, …), from Debian's packages in the cache of the peers;
* `modprobe` and its like, which find nothing to do: our data path needs no module;
* `ip`, where the kernel lacks a type of device: it makes one of a TAP and a process
  (`soft_devices`).

What servers the tests need (FTP, TFTP) is Python's, and found by `python_path`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from netloom.lab.peers import peer_root

ROOT = Path(__file__).parents[2]
#: What `fetch_peers.py` calls them.
TOOLS, SERVERS = "suite-tools", "suite-servers"
#: In the new namespaces. Tests read how the kernel was configured where distributions keep it.
ALONE = """mount --make-rprivate / && mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns &&
mount -t sysfs sysfs /sys && mount -t bpf bpf /sys/fs/bpf && ip link set lo up || exit 1
if ! [ -e "/boot/config-$(uname -r)" ] && [ -e /proc/config.gz ]
then mount -t tmpfs tmpfs /boot && zcat /proc/config.gz > "/boot/config-$(uname -r)"
fi
exec "$@"
"""
#: Programs about modules of the kernel.
OF_MODULES = ("depmod", "insmod", "lsmod", "modprobe", "rmmod")
#: Programs that tests run, and what they are called in Debian's packages.
PROGRAMS = {
    "arp": "arp", "arping": "arping", "checksctp": "checksctp", "conntrack": "conntrack",
    "lftp": "lftp", "nc": "ncat", "netstat": "netstat", "ps": "ps", "sysctl": "sysctl",
}  # fmt: skip
#: Types of devices that tests add, and kernels may lack. The words behind make one of the type.
DEVICES = {
    "vlan": ("link", "lo", "id", "1"),
    "geneve": ("remote", "127.0.0.1", "vni", "1"),
    "gretap": ("remote", "127.0.0.1"),
    "ip6gretap": ("remote", "::1"),
    "gre": ("remote", "127.0.0.1"),
    "erspan": ("remote", "127.0.0.1", "key", "1"),
    "ip6erspan": ("remote", "::1", "key", "1"),
}


def inside(argv: Iterable[str]) -> list[str]:
    """The command line that runs `argv` on a machine of its own."""
    spaces = ("unshare", "-n", "-m", "-u", "-p", "--fork", "--kill-child", "--mount-proc")
    return [*spaces, "sh", "-c", ALONE, "sh", *argv]


def fetch() -> None:
    """Bring what `equip` and `python_path` look for into the cache of the peers."""
    script = ROOT / "tools" / "fetch_peers.py"
    subprocess.run([sys.executable, str(script), TOOLS, SERVERS], check=True)


def equip(folder: Path) -> Path:
    """Put what tests run, and the machine has not, into a new folder; returns it."""
    folder.mkdir()
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    root = peer_root(TOOLS)
    libraries = ":".join(sorted({str(found.parent) for found in root.glob("**/lib*.so*")}))
    for name, packaged in PROGRAMS.items():
        if not shutil.which(name, path=path):
            program = next(root.glob(f"**/*bin/{packaged}"))
            _script(folder / name, f'LD_LIBRARY_PATH={libraries} exec {program} "$@"')
    for name in OF_MODULES:
        _script(folder / name, "exit 0")
    if lacking := [kind for kind in DEVICES if not _has_devices(kind)]:
        _script(folder / "ip", _ip(lacking, shutil.which("ip", path=path) or "ip"))
    return folder


def python_path() -> str:
    """Where Python finds the servers."""
    return ":".join(map(str, peer_root(SERVERS).glob("lib/python3*/site-packages")))


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _has_devices(kind: str) -> bool:
    """Can the kernel make devices of this type?"""
    words = ("ip", "link", "add", "probe0", *DEVICES[kind][:2], "type", kind, *DEVICES[kind][2:])
    if kind != "vlan":
        words = ("ip", "link", "add", "probe0", "type", kind, *DEVICES[kind])
    return not subprocess.run(("unshare", "-n", *words), capture_output=True).returncode


def _ip(kinds: Iterable[str], real: str) -> str:
    """ip(8) as a script, which leaves to `soft_devices` what the kernel has not."""
    cases = "|".join(f'"link add "*" type {kind} "*' for kind in kinds)
    return f"""\
case "$* " in
*" help "*) ;;
{cases}) exec {sys.executable} -I {Path(__file__).with_name("soft_devices.py")} {real} "$@" ;;
esac
exec {real} "$@\""""
