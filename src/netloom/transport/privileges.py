"""`--user`: giving up root, but for the few rights that a daemon needs.

A daemon keeps CAP_IPC_LOCK and CAP_NET_BIND_SERVICE; one with a datapath also CAP_NET_ADMIN,
CAP_NET_BROADCAST and CAP_NET_RAW. See capabilities(7).
"""

from __future__ import annotations

import ctypes
import grp
import os
import pwd

from netloom.base.errors import NetloomError

_PR_SET_KEEPCAPS = 8
_CAPABILITY_VERSION_3 = 0x20080522
_NET_BIND_SERVICE, _NET_BROADCAST, _NET_ADMIN, _NET_RAW, _IPC_LOCK = 10, 11, 12, 13, 14


class UserError(NetloomError):
    """The user cannot be changed to."""


class Account:
    """Who to become."""

    __slots__ = ("gid", "name", "uid")

    def __init__(self, name: str, uid: int, gid: int) -> None:
        self.name = name
        self.uid = uid
        self.gid = gid


def parse_user(text: str) -> Account:
    """The account of `USER`, `USER:GROUP`, `USER:` (its own group) or `:GROUP`."""
    if os.getuid() or os.geteuid():
        raise UserError("only root can use --user option")
    user, colon, group = text.partition(":")
    if not user and not group:
        raise UserError("user:group: argument is empty")
    try:
        entry = pwd.getpwnam(user) if user else pwd.getpwuid(os.getuid())
    except KeyError:
        raise UserError(f"user {user} not found") from None
    gid = entry.pw_gid if user else os.getgid()
    if colon and group:
        try:
            gid = grp.getgrnam(group).gr_gid
        except KeyError:
            raise UserError(f"group {group} not found") from None
    return Account(entry.pw_name, entry.pw_uid, gid)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def become_user(account: Account, *, datapath: bool) -> None:
    """Change user and group of this process for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    keep = {_IPC_LOCK, _NET_BIND_SERVICE}
    if datapath:
        keep |= {_NET_ADMIN, _NET_BROADCAST, _NET_RAW}
    mask = sum(1 << number for number in keep)
    _check(libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    try:
        os.setgroups([])
        os.initgroups(account.name, account.gid)
        os.setresgid(account.gid, account.gid, account.gid)
        os.setresuid(account.uid, account.uid, account.uid)
    except OSError as error:
        raise UserError(f"cannot become {account.name} ({error.strerror})") from None
    data = (_Data * 2)(_Data(mask, mask, 0), _Data(0, 0, 0))
    _check(libc.capset(ctypes.byref(_Header(_CAPABILITY_VERSION_3, 0)), data))


def _check(result: int) -> None:
    if result:
        raise UserError(f"cannot keep capabilities ({os.strerror(ctypes.get_errno())})")
