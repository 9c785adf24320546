"""What stays in the kernel when the daemon ends: maps and links, pinned in a bpf file system.

Each switch has a directory of its own, named by its run directory. `/sys/fs/bpf` is mounted if
nobody did; and because a daemon may have been started inside `ip netns exec`, whose mounts end with
it, all this happens in the mounts of process 1, reached through /proc/1/root.

A directory whose run directory is gone belongs to a switch that is gone: `sweep` removes it, and
with it the memory of its maps.
"""

from __future__ import annotations

import ctypes
import os
import shutil
from pathlib import Path
from urllib.parse import quote, unquote

from netloom.base.errors import Unsupported
from netloom.base.log import get_logger
from netloom.datapath.ebpf.spec import ABI_VERSION, MAPS
from netloom.datapath.ebpf.syscall import obj_get, obj_pin

log = get_logger("dpif_netlink")

_MOUNT_POINT = "/sys/fs/bpf"
_FOLDER = "netloom"
_CLONE_NEWNS = 0x00020000
#: Names in a bpf file system may not have dots, and are at most this long.
_MAX_NAME = 255


def _encode(rundir: str) -> str:
    """A file name that says which run directory is meant."""
    return quote(rundir, safe="").replace(".", "%2E").replace("%", "@")[-_MAX_NAME:]


def _decode(name: str) -> str:
    return unquote(name.replace("@", "%"))


def _root() -> str:
    """Where the mounts begin that do not end with this process."""
    try:
        is_same = os.path.samestat(os.stat("/proc/1/ns/mnt"), os.stat("/proc/self/ns/mnt"))
    except PermissionError:
        return ""
    return "" if is_same else "/proc/1/root"


def _is_mounted(root: str) -> bool:
    mounts = Path("/proc/1/mounts" if root else "/proc/self/mounts").read_text()
    rows = [line.split() for line in mounts.splitlines()]
    return any(row[1] == _MOUNT_POINT and row[2] == "bpf" for row in rows)


def _mount(root: str) -> None:
    """Mount the file system, in the mounts of process 1 if `root` says so."""
    libc = ctypes.CDLL(None, use_errno=True)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if root:
                mounts = os.open("/proc/1/ns/mnt", os.O_RDONLY)
                if libc.setns(mounts, _CLONE_NEWNS):
                    os._exit(ctypes.get_errno())
            if libc.mount(b"bpf", _MOUNT_POINT.encode(), b"bpf", 0, None):
                os._exit(ctypes.get_errno())
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if code := os.waitstatus_to_exitcode(status):
        raise Unsupported(f"mounting {_MOUNT_POINT}: {os.strerror(code)}", "bpffs")


def _file_system() -> Path:
    """The folder of all switches of this machine, made if need be. Raises Unsupported."""
    try:
        root = _root()
        if not _is_mounted(root):
            _mount(root)
        folder = Path(f"{root}{_MOUNT_POINT}") / _FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise Unsupported(f"no bpf file system ({error.strerror})", "bpffs") from error
    return folder


class PinDirectory:
    """The pins of the switch of one run directory. Raises Unsupported where nothing can be
    pinned."""

    def __init__(self, rundir: str) -> None:
        folder = _file_system()
        sweep(folder)
        self._path = folder / _encode(os.path.abspath(rundir))
        self._maps = self._path / f"maps{ABI_VERSION}"
        self._links = self._path / "links"
        try:
            for directory in (self._path, self._links):
                directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unsupported(f"cannot pin ({error.strerror})", "bpffs") from error

    def find_maps(self) -> dict[str, int]:
        """The maps that an earlier daemon left, all or none: name -> descriptor."""
        found: dict[str, int] = {}
        try:
            for spec in MAPS:
                found[spec.name] = obj_get(str(self._maps / spec.name))
        except OSError:
            for fd in found.values():
                os.close(fd)
            return {}
        return found

    def keep_maps(self, maps: dict[str, int]) -> None:
        """Pin new maps, in place of those of an older version."""
        for old in self._path.glob("maps*"):
            shutil.rmtree(old)
        self._maps.mkdir(mode=0o700)
        for name, fd in maps.items():
            obj_pin(fd, str(self._maps / name))

    def find_link(self, ifindex: int) -> int | None:
        """The link to a device that an earlier daemon left."""
        path = self._links / str(ifindex)
        return obj_get(str(path)) if path.exists() else None

    def keep_link(self, ifindex: int, link: int) -> None:
        self.drop_link(ifindex)
        obj_pin(link, str(self._links / str(ifindex)))

    def drop_link(self, ifindex: int) -> None:
        (self._links / str(ifindex)).unlink(missing_ok=True)

    def remove(self) -> None:
        """Let the kernel forget all of this switch."""
        shutil.rmtree(self._path, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what belongs to run directories that are gone."""
    for directory in folder.iterdir():
        if not os.path.isdir(_decode(directory.name)) and len(directory.name) < _MAX_NAME:
            log.info("forgetting the data path of %s, which is gone", _decode(directory.name))
            shutil.rmtree(directory, ignore_errors=True)


def forget(rundir: str) -> None:
    """Remove the pins of a switch that does not run, if there are any."""
    path = Path(f"{_root()}{_MOUNT_POINT}") / _FOLDER / _encode(os.path.abspath(rundir))
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
