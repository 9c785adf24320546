"""Labs: hosts in network namespaces, and switches with private run directories, as Python objects.

A `Lab` owns all that it makes and removes it when it ends, whatever happened in between; what a
killed process leaves behind is written down under /run/netloom, and `netloom clean-host` finds it.

Every lab has its own network namespace for its switch ("the host"), so that a bridge can be called
br0 on a machine that has a br0 already, and two labs never meet. The hosts of the lab are further
namespaces, joined to the first by veth pairs.

    with Lab("demo") as lab:
        switch = lab.add_switch()
        switch.start()
        vm1 = lab.add_vm("vm1", "vif0", "10.0.0.1/24")
        switch.run("ovs-vsctl", "add-br", "br0", "--", "add-port", "br0", "vif0")
        vm1.ping("10.0.0.2")
"""
