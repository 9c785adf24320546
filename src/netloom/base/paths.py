"""Where things live: the directories that every program shares, and the variables that move them.

The variables are read at each call, so that a test or a wrapper may set them at any time. The
defaults are those of the distributions' packages.
"""

from __future__ import annotations

from .environment import variable


def rundir() -> str:
    """Sockets and pid files (`OVS_RUNDIR`)."""
    return variable("OVS_RUNDIR") or "/var/run/openvswitch"


def logdir() -> str:
    """Log files (`OVS_LOGDIR`)."""
    return variable("OVS_LOGDIR") or "/var/log/openvswitch"


def sysconfdir() -> str:
    """System configuration (`OVS_SYSCONFDIR`); Open vSwitch's own is in its `openvswitch`."""
    return variable("OVS_SYSCONFDIR") or "/etc"


def dbdir() -> str:
    """Databases (`OVS_DBDIR`, else `openvswitch` below `OVS_SYSCONFDIR` if that is set)."""
    chosen = variable("OVS_DBDIR")
    if chosen:
        return chosen
    sysconf = variable("OVS_SYSCONFDIR")
    return f"{sysconf}/openvswitch" if sysconf else "/etc/openvswitch"


def pkgdatadir() -> str:
    """Read-only data such as schemas (`OVS_PKGDATADIR`)."""
    return variable("OVS_PKGDATADIR") or "/usr/share/openvswitch"


def absolute(directory: str, name: str) -> str:
    """`name` as it stands if it begins with `/`, else inside `directory`."""
    return name if name.startswith("/") else f"{directory}/{name}"
