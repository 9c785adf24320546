"""What this machine has, for `netloom doctor`: each finding with its remedy.

Findings look and never change anything. A *failure* keeps Netloom from working; a *warning* costs
a feature, which the text names.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from netloom.base.errors import Unsupported
from netloom.lab import rootless
from netloom.lab.peers import service_program
from netloom.lab.standing import standing_labs

#: Bits of /proc/self/status (capabilities(7)), and what is not possible without them.
RIGHTS = (
    (12, "CAP_NET_ADMIN", "devices, routes, and the kernel data path"),
    (13, "CAP_NET_RAW", "the userspace data path"),
    (21, "CAP_SYS_ADMIN", "network namespaces"),
)
#: The oldest kernel that the kernel data path is made for.
KERNEL = (6, 1)
#: Octets around a tenant's packet in VXLAN over IPv4, and over IPv6.
VXLAN_OVERHEAD = {4: 50, 6: 70}
#: Headers of an echo request.
ECHO_OVERHEAD = {4: 28, 6: 48}
LEAST_MTU = {4: 576, 6: 1280}
MOST_MTU = 9216
LEAST_FILES = 1024


@dataclass(frozen=True, slots=True)
class Finding:
    """`level` is ok, warning or failure; a remedy is a sentence or a command."""

    level: str
    topic: str
    text: str
    remedy: str = ""


def examine(
    targets: list[str], labs: Path, kernel_complaint: Callable[[], str]
) -> Iterator[Finding]:
    """All findings. `targets` are addresses of tunnel ends to which the MTU is measured; `labs` is
    where this user's labs are written down; `kernel_complaint` tries the programs of the kernel
    data path, and says what is wrong with that."""
    yield kernel_finding(platform.release())
    capabilities = _capabilities()
    yield from rights_findings(capabilities)
    if any(not capabilities >> one[0] & 1 for one in RIGHTS):
        yield namespace_finding(rootless.probe())
    yield from _kernel_features()
    if all(capabilities >> one[0] & 1 for one in RIGHTS):
        yield data_path_finding(kernel_complaint())
    yield from _programs()
    yield limit_finding(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    for target in targets:
        yield mtu_finding(target, partial(_passes, target))
    yield from leftover_findings(labs)


def kernel_finding(release: str) -> Finding:
    """Whether the kernel is new enough for the kernel data path."""
    words = release.replace("-", ".").split(".")
    version = tuple(int(word) for word in words[:2] if word.isdigit())
    wanted = ".".join(map(str, KERNEL))
    if version >= KERNEL:
        return Finding("ok", "kernel", f"Linux {release}")
    remedy = f"use Linux {wanted} or newer, or the userspace data path (datapath_type=netdev)"
    return Finding("warning", "kernel", f"Linux {release}: older than {wanted}", remedy)


def data_path_finding(complaint: str) -> Finding:
    """Whether the kernel takes the programs of its data path."""
    if not complaint:
        return Finding("ok", "kernel", "it takes the programs of the kernel data path")
    remedy = "use the userspace data path (NETLOOM_SYSTEM_DATAPATH=userspace for the daemon), or "
    remedy += "mend that: a kernel with CONFIG_BPF_SYSCALL, no lockdown, programs that were built"
    return Finding("warning", "kernel", f"no kernel data path: {complaint}", remedy)


def rights_findings(capabilities: int) -> Iterator[Finding]:
    """One finding for each right that is missing; one in all if none is."""
    missing = [one for one in RIGHTS if not capabilities >> one[0] & 1]
    for _, name, use in missing:
        yield Finding("warning", "rights", f"no {name}: no {use}", "run as root (sudo)")
    if not missing:
        yield Finding("ok", "rights", ", ".join(name for _, name, _ in RIGHTS))


def namespace_finding(complaint: str) -> Finding:
    """Whether labs can be had without root; `complaint` is why not, empty if they can."""
    if not complaint:
        return Finding("ok", "rights", "labs run in a user namespace, without root")
    remedy = "sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces=10000 or "
    remedy += "kernel.apparmor_restrict_unprivileged_userns=0; or run labs as root"
    return Finding("failure", "rights", f"no user namespaces: {complaint}", remedy)


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def _kernel_features() -> Iterator[Finding]:
    features = (
        ("/sys/fs/bpf", os.path.ismount, "the BPF file system", "mount -t bpf bpf /sys/fs/bpf"),
        ("/sys/kernel/btf/vmlinux", os.path.exists, "BTF of the kernel", "use a kernel with BTF"),
        ("/proc/self/ns/net", os.path.exists, "network namespaces", "use a kernel with NET_NS"),
        ("/dev/net/tun", os.path.exists, "TAP devices", "modprobe tun"),
        ("/dev/net/tun", _is_open, "TAP devices for this user", "chmod 666 /dev/net/tun"),
    )
    told: set[str] = set()
    for path, test, name, remedy in features:
        if path in told:
            continue
        if test(path):
            yield Finding("ok", "kernel", name)
            continue
        told.add(path)
        what = "out of reach: internal ports are veth pairs" if test is _is_open else "missing"
        yield Finding("warning", "kernel", f"{name}: {path} is {what}", remedy)


def _is_open(path: str) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


def _programs() -> Iterator[Finding]:
    for name, package in (("ip", "iproute2"), ("nsenter", "util-linux"), ("ping", "iputils-ping")):
        if shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"):
            yield Finding("ok", "programs", name)
        else:
            remedy = f"apt install {package}"
            yield Finding("failure", "programs", f"{name} is not installed", remedy)
    for name, package, use in (
        ("dnsmasq", "dnsmasq-base", "DHCP"),
        ("nft", "nftables", "routers"),
    ):
        try:
            yield Finding("ok", "programs", service_program(name)[0])
        except Unsupported:
            text = f"{name} is not installed: no {use}"
            yield Finding("warning", "programs", text, f"apt install {package}")


def limit_finding(files: int) -> Finding:
    """Whether a daemon may open enough sockets."""
    if files < 0 or files >= LEAST_FILES:
        return Finding("ok", "limits", f"{'any number of' if files < 0 else files} open files")
    remedy = f"ulimit -n {LEAST_FILES}, or LimitNOFILE= of the unit"
    return Finding("warning", "limits", f"only {files} open files", remedy)


# MTU along the path


def largest_passing(low: int, high: int, passes: Callable[[int], bool]) -> int:
    """The largest size from `low` to `high` that passes, 0 if not even `low` does; what passes
    must be all sizes up to one."""
    if not passes(low):
        return 0
    while low < high:
        middle = (low + high + 1) // 2
        if passes(middle):
            low = middle
        else:
            high = middle - 1
    return low


def mtu_finding(target: str, passes: Callable[[int], bool]) -> Finding:
    """The largest packet that reaches a tunnel end unfragmented, and what tenants have of it."""
    version = 6 if ":" in target else 4
    mtu = largest_passing(LEAST_MTU[version], MOST_MTU, passes)
    if not mtu:
        return Finding(
            "failure",
            "path",
            f"{target} does not answer packets of {LEAST_MTU[version]} octets",
            f"check the route (ip route get {target}) and that echo requests are let through",
        )
    inner = mtu - VXLAN_OVERHEAD[version]
    text = f"{target}: MTU {mtu}, of which a tenant's packet in VXLAN has {inner}"
    if inner >= 1500:
        return Finding("ok", "path", text)
    return Finding(
        "warning",
        "path",
        text,
        f"set global_physnet_mtu = {mtu} in neutron.conf, so that machines are told {inner};"
        f" or give the underlay an MTU of {1500 + VXLAN_OVERHEAD[version]}",
    )


def _passes(target: str, size: int) -> bool:
    version = 6 if ":" in target else 4
    payload = str(size - ECHO_OVERHEAD[version])
    argv = ("ping", f"-{version}", "-n", "-q", "-c", "2", "-i", "0.2", "-W", "0.5", "-M", "do")
    done = subprocess.run(
        (*argv, "-s", payload, target), capture_output=True, timeout=10, check=False
    )
    return done.returncode == 0


# Leftovers


def leftover_findings(labs: Path) -> Iterator[Finding]:
    """Labs whose process is gone."""
    standing = standing_labs(labs)
    found = False
    for directory in sorted(labs.glob("*/")):
        owner = _owner(directory)
        if owner is not None and Path(f"/proc/{owner}").exists():
            continue
        found = True
        name = directory.name
        remedy = f"netloom lab down {name}" if name in standing else "netloom clean-host"
        yield Finding("warning", "leftovers", f"lab {name}: its process is gone", remedy)
    if not found:
        yield Finding("ok", "leftovers", "none")


def _owner(directory: Path) -> int | None:
    try:
        return int((directory / "owner").read_text())
    except (OSError, ValueError):
        return None
