"""What stays in the kernel when the daemon ends: maps and links, pinned in a bpf file system.

Each switch has a directory of its own, named by its run directory. `/sys/fs/bpf` is mounted if
nobody did; and because a daemon may have been started inside `ip netns exec`, whose mounts end with
it, all this happens in the mounts of the outermost ancestor whose mounts may be seen: process 1, or
the first below it that has no more rights than we.

A directory whose run directory is gone belongs to a switch that is gone: `sweep` removes it, and
with it the memory of its maps. The number of the file system is part of its name, lest a container
that shares `/sys/fs/bpf`, but not `/run`, takes the host's switches for gone.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
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
#: statfs(2): the kind of file system, in the first word of what is told.
_BPF_FS_MAGIC = 0xCAFE4A11
_STATFS_BYTES = 256
#: Names in a bpf file system may not have dots, and are at most this long.
_MAX_NAME = 255


def _encode(rundir: str) -> str:
    """A file name that says which run directory is meant, and in which file system."""
    quoted = quote(rundir, safe="").replace(".", "%2E").replace("%", "@")
    device = f"{_device(rundir):x}-"
    return device + quoted[-_MAX_NAME + len(device) :]


def _decode(name: str) -> tuple[int, str] | None:
    """File system and run directory; None if the name is not one of ours, or not whole."""
    found = re.fullmatch(r"([0-9a-f]+)-(.*)", name)
    if found is None or len(name) >= _MAX_NAME:
        return None
    return int(found[1], 16), unquote(found[2].replace("@", "%"))


def _device(path: str) -> int:
    """The number of the file system in which `path` is, or would be."""
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return os.stat(path).st_dev


class Mounts:
    """The mounts in which pins outlive this process. To be made while its ancestors still run."""

    def __init__(self) -> None:
        #: What to put before a path there; and the mount namespace, if it is another.
        self.root = ""
        self._namespace = -1
        outermost = _outermost_process()
        try:
            namespace = os.open(f"/proc/{outermost}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
            if os.path.samestat(os.fstat(namespace), os.stat("/proc/self/ns/mnt")):
                os.close(namespace)
                return
            root = os.open(f"/proc/{outermost}/root", os.O_PATH | os.O_CLOEXEC)
        except OSError as error:
            log.warn("flows will end with this process's mounts (%s)", error.strerror)
            return
        self.root, self._namespace = f"/proc/self/fd/{root}", namespace

    def folder(self) -> Path:
        """The folder of all switches of this machine, made if need be. Raises Unsupported."""
        try:
            if not self._has_file_system():
                self._mount()
            folder = Path(f"{self.root}{_MOUNT_POINT}") / _FOLDER
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise Unsupported(f"no bpf file system ({error.strerror})", "bpffs") from error
        return folder

    def _has_file_system(self) -> bool:
        info = ctypes.create_string_buffer(_STATFS_BYTES)
        path = f"{self.root}{_MOUNT_POINT}".encode()
        if _libc().statfs(path, info):
            return False
        return int.from_bytes(info.raw[:8], sys.byteorder) == _BPF_FS_MAGIC

    def _mount(self) -> None:
        libc = _libc()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                if self._namespace >= 0 and libc.setns(self._namespace, _CLONE_NEWNS):
                    os._exit(ctypes.get_errno())
                if libc.mount(b"bpf", _MOUNT_POINT.encode(), b"bpf", 0, None):
                    os._exit(ctypes.get_errno())
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        if code := os.waitstatus_to_exitcode(status):
            raise Unsupported(f"mounting {_MOUNT_POINT}: {os.strerror(code)}", "bpffs")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _parent(process: int) -> int:
    """0 if there is none, or it cannot be seen."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0
    # What follows the name, in which there may be anything: state, parent (proc(5)).
    return int(stat.rpartition(")")[2].split()[1])


def _outermost_process() -> int:
    """The farthest ancestor whose mounts may be seen; this process, if there is none."""
    found = process = os.getpid()
    while process := _parent(process):
        if os.access(f"/proc/{process}/root", os.X_OK):
            found = process
    return found


class PinDirectory:
    """The pins of the switch of one run directory. Raises Unsupported where nothing can be
    pinned."""

    def __init__(self, rundir: str, mounts: Mounts) -> None:
        folder = mounts.folder()
        self._path = folder / _encode(os.path.abspath(rundir))
        self._maps = self._path / f"maps{ABI_VERSION}"
        self._links = self._path / "links"
        try:
            sweep(folder)
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
            log.warn("what %s holds is another version's; flows begin anew", old.name)
            shutil.rmtree(old)
        self._maps.mkdir(mode=0o700)
        for name, fd in maps.items():
            obj_pin(fd, str(self._maps / name))

    def find_link(self, ifindex: int) -> int | None:
        """The link to a device that an earlier daemon left."""
        path = self._links / str(ifindex)
        return obj_get(str(path)) if path.exists() else None

    def links(self) -> list[int]:
        """The devices that have a link."""
        return [int(path.name) for path in self._links.iterdir()]

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
        if (owner := _decode(directory.name)) is None:
            continue
        device, rundir = owner
        if not os.path.isdir(rundir) and _device(rundir) == device:
            log.info("forgetting the data path of %s, which is gone", rundir)
            shutil.rmtree(directory, ignore_errors=True)


def find_left_map(rundir: str, mounts: Mounts, name: str) -> int | None:
    """A map of a switch that does not run, if it is of this version."""
    path = _path_of(rundir, mounts) / f"maps{ABI_VERSION}" / name
    if not os.path.exists(path):
        return None
    try:
        return obj_get(str(path))
    except OSError as error:
        log.warn("%s: %s", path, error.strerror)
        return None


def _path_of(rundir: str, mounts: Mounts) -> Path:
    return Path(f"{mounts.root}{_MOUNT_POINT}") / _FOLDER / _encode(os.path.abspath(rundir))


def forget(rundir: str, mounts: Mounts) -> None:
    """Remove the pins of a switch that does not run, if there are any."""
    path = _path_of(rundir, mounts)
    # Not `path.is_dir`, which fails where this user may not look; what is there is not his.
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
