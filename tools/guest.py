"""A guest with Debian's kernel 6.1, the oldest that the data path is for, that runs this checkout.

    for line in run("python -m pytest tests/datapath"): ...

Kernel, modules and QEMU are Debian's packages, downloaded and unpacked into the folder of the
peers, not installed. The guest has this machine's root (read only, with what it writes in memory),
so it runs the programs of this checkout. Its time may be that of instructions (QEMU's `-icount`),
which makes figures the same however busy the machine is. Needs root.
"""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("NETLOOM_PEERS", Path.home() / ".cache/netloom/peers")) / "guest"
KERNEL = "6.1.0-50-amd64"
TOOLS = (
    "qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios", "busybox-static",
    "libaio1", "libbrlapi0.8", "libcacard0", "libcapstone4", "libdaxctl1", "libepoxy0",
    "libexecs0", "libfdt1", "libfuse3-3", "libibverbs1", "libndctl6", "libnl-3-200",
    "libnl-route-3-200", "libopus0", "liborc-0.4-0", "libpmem1", "librdmacm1", "libslirp0",
    "libsndio7.0", "libspice-server1", "liburing2", "libusb-1.0-0", "libusbredirparser1",
    "libvdeplug2",
)  # fmt: skip
MODULES = (
    "virtio_pci", "crc32c_generic", "libcrc32c", "9pnet_virtio", "9p", "overlay", "veth", "bridge",
    "cls_bpf", "sch_ingress", "openvswitch", "tun", "dummy", "macvlan", "vxlan", "geneve", "ip_gre",
    "ip6_gre", "8021q", "sch_htb", "sch_prio", "sch_netem", "ifb", "af_packet_diag", "nf_tables",
    "nf_conntrack",
)  # fmt: skip
#: What precedes the exit status.
_END = "=== exit status "
_COUNTING = ("tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1")  # fmt: skip
INIT = """#!/bin/busybox sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
{insert}
$B mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose root /r
$B mount -t tmpfs tmpfs /t; $B mkdir /t/u /t/w
$B mount -t overlay -o lowerdir=/r,upperdir=/t/u,workdir=/t/w overlay /n
$B mount -t proc proc /n/proc; $B mount -t sysfs sys /n/sys; $B mount --rbind /dev /n/dev
$B mount -t tmpfs tmpfs /n/run; $B mkdir -p /n/run/netns; $B mount -t bpf bpf /n/sys/fs/bpf
$B chroot /n /bin/bash -c {inside}
$B poweroff -f
"""

#: What runs with this machine's root.
INSIDE = """export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME={home} PYTHONDONTWRITEBYTECODE=1
export PYTHONPATH={root}/src:{root}
export NETLOOM_SYSTEM_DATAPATH=kernel PYTHON={python}
ip link set lo up; cd {root}
find {peers} -type f -size -30M -print0 | xargs -0 cat >/dev/null
find src -type f -print0 | xargs -0 cat >/dev/null
{command}; echo {end}$?
"""


def fetch() -> tuple[Path, Path]:
    """The unpacked tools and kernel."""
    tools, kernel = CACHE / "tools", CACHE / "kernel"
    for target, packages in ((tools, TOOLS), (kernel, (f"linux-image-{KERNEL}",))):
        if target.exists():
            continue
        debs = CACHE / "debs"
        shutil.rmtree(debs, ignore_errors=True)
        debs.mkdir(parents=True)
        subprocess.run(["apt-get", "download", "-q", *packages], cwd=debs, check=True)
        unpacked = CACHE / "unpacked"
        for deb in debs.iterdir():
            subprocess.run(["dpkg", "-x", str(deb), str(unpacked)], check=True)
        unpacked.rename(target)
    return tools, kernel


def modules(kernel: Path) -> list[Path]:
    """The modules that are needed, each behind those that it needs itself."""
    folder = kernel / "lib/modules" / KERNEL
    found = {path.stem.replace("-", "_"): path for path in folder.rglob("*.ko")}
    order: dict[str, Path] = {}

    def add(name: str) -> None:
        if name not in found or name in order:
            return
        needs = re.search(rb"\0depends=([^\0]*)\0", found[name].read_bytes())
        for other in (needs[1].decode() if needs else "").split(","):
            add(other.replace("-", "_"))
        order[name] = found[name]

    for name in MODULES:
        add(name)
    return list(order.values())


def _entry(name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)) -> bytes:
    """One file of an archive in the format of cpio's "newc"."""
    label = name.encode() + b"\0"
    numbers = (0, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(label), 0)
    head = b"070701" + b"".join(b"%08x" % number for number in numbers) + label
    return head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4)


def initramfs(tools: Path, kernel: Path, command: str) -> Path:
    """What the guest starts from, to run `command`."""
    needed = modules(kernel)
    insert = "\n".join(f"$B insmod /m/{path.name} || echo no {path.name}" for path in needed)
    inside = INSIDE.format(
        root=ROOT, home=Path.home(), python=sys.executable, command=command, end=_END,
        peers=CACHE.parent / "ovs",
    )  # fmt: skip
    init = INIT.format(insert=insert, inside=shlex.quote(inside))
    folders = ("bin", "m", "proc", "sys", "dev", "r", "t", "n")
    parts = [_entry(name, 0o40755) for name in folders]
    parts.append(_entry("init", 0o100755, init.encode()))
    parts.append(_entry("bin/busybox", 0o100755, (tools / "bin/busybox").read_bytes()))
    parts += [_entry(f"m/{path.name}", 0o100644, path.read_bytes()) for path in needed]
    parts += [_entry("dev/console", 0o20600, device=(5, 1)), _entry("TRAILER!!!", 0)]
    archive = CACHE / "init.gz"
    archive.write_bytes(gzip.compress(b"".join(parts), 1))
    return archive


def run(command: str, *, counts: bool = False) -> Iterator[str]:
    """The lines that a shell command prints in the guest, then one with its exit status alone.

    It runs in this checkout, with `$PYTHON` for this interpreter. With `counts` the guest's clock
    counts instructions; otherwise it is as fast as QEMU can."""
    tools, kernel = fetch()
    archive = initramfs(tools, kernel, command)
    libraries = [tools / "usr/lib/x86_64-linux-gnu", tools / "lib/x86_64-linux-gnu"]
    argv = [
        str(tools / "usr/bin/qemu-system-x86_64"),
        "-L", str(tools / "usr/share/qemu"), "-L", str(tools / "usr/share/seabios"),
        "-accel", *(_COUNTING if counts else ("tcg", "-smp", "2")), "-cpu", "max",
        "-m", "3072", "-nographic", "-nic", "none", "-no-reboot",
        "-kernel", str(kernel / f"boot/vmlinuz-{KERNEL}"), "-initrd", str(archive),
        "-append", "console=ttyS0 quiet panic=-1 mitigations=off",
        "-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap",
    ]  # fmt: skip
    environment = os.environ | {"LD_LIBRARY_PATH": ":".join(map(str, libraries))}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment) as guest:
        assert guest.stdout is not None
        for line in guest.stdout:
            text = line.decode(errors="replace").rstrip()
            _, is_end, status = text.partition(_END)
            if is_end:
                yield status
                break
            yield text
