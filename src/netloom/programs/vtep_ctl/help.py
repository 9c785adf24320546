"""What `vtep-ctl --help` says of its own commands and options."""

from __future__ import annotations

COMMANDS = """\
vtep-ctl: VTEP configuration utility
usage: vtep-ctl [OPTIONS] COMMAND [ARG...]

VTEP commands:
  show                        print the configuration as a tree

Manager commands:
  get-manager                 print the managers' targets
  del-manager                 delete all managers
  [--inactivity-probe=MSECS]
  set-manager TARGET...       have these managers and no others

Physical Switch commands:
  add-ps PS                   create the physical switch PS
  del-ps PS                   delete PS with its ports
  list-ps                     print the names of the physical switches
  ps-exists PS                exit 2 if there is no PS

Port commands:
  list-ports PS               print the names of the ports of PS
  add-port PS PORT            add the network device PORT to PS
  del-port PS PORT            delete PORT of PS

Logical Switch commands:
  add-ls LS                   create the logical switch LS
  del-ls LS                   delete LS
  list-ls                     print the names of the logical switches
  ls-exists LS                exit 2 if there is no LS
  bind-ls PS PORT VLAN LS     put VLAN on PORT into LS
  unbind-ls PS PORT VLAN      take VLAN on PORT out of its logical switch
  list-bindings PS PORT       print the VLANs of PORT and their switches
  set-replication-mode LS MODE  set who replicates broadcasts of LS
  get-replication-mode LS     print who replicates broadcasts of LS

Logical Router commands:
  add-lr LR                   create the logical router LR
  del-lr LR                   delete LR
  list-lr                     print the names of the logical routers
  lr-exists LR                exit 2 if there is no LR

MAC binding commands:
  add-ucast-local LS MAC [ENCAP] IP   MAC in LS is behind this tunnel
  del-ucast-local LS MAC              delete the local entry of MAC
  add-mcast-local LS MAC [ENCAP] IP   add a tunnel to those of MAC in LS
  del-mcast-local LS MAC [ENCAP] IP   delete a tunnel of those of MAC
  clear-local-macs LS                 delete all local entries of LS
  list-local-macs LS                  print the local entries of LS
  add-ucast-remote LS MAC [ENCAP] IP  the same for remote entries
  del-ucast-remote LS MAC
  add-mcast-remote LS MAC [ENCAP] IP
  del-mcast-remote LS MAC [ENCAP] IP
  clear-remote-macs LS
  list-remote-macs LS
"""

OPTIONS = """\
  -t, --timeout=SECS          wait at most SECS seconds
"""
