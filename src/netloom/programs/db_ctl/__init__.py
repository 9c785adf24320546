"""What the tools that configure a switch by its database share: everything but which commands know
what of the database's own tables.

A run goes through these modules in order: `options` (global options), `command_line`
(which commands, with which arguments), each command's *needs* (which tables and columns
to fetch), `session` (fetch them, run the commands on the copy in `replica`, send what changed as
one transaction, wait for the switch). If another client changed what the commands had read, the
whole run starts again on fresh data: commands are therefore free of side effects until the commit.

Every module that only some commands need is imported when such a command is seen: the start-up of
a Python program is most of what a run costs. What else a tool is says its `Program` (`run`).
"""
