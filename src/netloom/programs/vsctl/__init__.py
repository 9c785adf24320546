"""`ovs-vsctl`: the configuration tool of the switch, see ovs-vsctl(8).

What is here knows bridges, ports and the like; how a run goes is in `programs.db_ctl`."""
