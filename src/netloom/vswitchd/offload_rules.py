"""What the database says of offloading flows to hardware (ovs-vswitchd.conf.db(5))."""

from __future__ import annotations

from collections.abc import Iterable

from netloom.datapath.offload import OffloadSettings
from netloom.ovsdb.row import Row

_PRIORITY = "hw-offload-priority"


def read_offload(config: dict[str, str], interfaces: Iterable[Row]) -> OffloadSettings:
    """The settings in `config`, which is Open_vSwitch:other_config, and in Interface rows."""
    orders = {
        row.text("name"): order
        for row in interfaces
        if (order := row.mapping("other_config").get(_PRIORITY)) is not None
    }
    return OffloadSettings(
        enabled=config.get("hw-offload", "").lower() == "true",
        order=config.get(_PRIORITY),
        port_orders=tuple(sorted(orders.items())),
    )
