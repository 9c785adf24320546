"""The agent of the integration bridge: ports, local VLANs, provider bridges, tunnels, filters.

    replica + facts of the switch --wish.py--> Wish --flows of each bridge--> Flow, by key
                                               Wish --switch_plan.py--> steps for the database

All of it but `agent.py` are pure functions of values. Table numbers are those that people know
from Neutron's agent.
"""
