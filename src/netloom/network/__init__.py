"""The network service: OpenStack Networking API v2.0, ML2 inside, desired state for agents.

    a request:  api (ASGI) -> model (validate) -> plans (ml2, l3, ...) -> store (one transaction)
    a change:   store journal (one growing revision) -> watch (snapshot + stream) -> agents

What must hold: a request is one transaction, so that nothing is ever half made; addresses and
segments are unique because the database says so, and a collision is tried again with another
choice; every committed change has a place in the journal, and agents need nothing else.

Only `store`, `api` and `watch` do input and output. `model` holds the resource table from which
routes, validation, filters, documentation and the OpenAPI document derive.
"""
