"""`vtep-ctl`: configures a hardware VTEP by its database, see vtep-ctl(8) and vtep(5).

What is here knows physical and logical switches and their MAC addresses; how a run goes is in
`programs.db_ctl`."""
