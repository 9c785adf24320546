"""Commands about the managers that the database server connects to."""

from __future__ import annotations

from netloom.programs.db_ctl.targets import Managers

_MANAGERS = Managers("Global", "managers")
need_get_manager = need_del_manager = need_set_manager = _MANAGERS.need
run_get_manager = _MANAGERS.run_get
run_del_manager = _MANAGERS.run_del
run_set_manager = _MANAGERS.run_set
