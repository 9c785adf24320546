"""The L3 agent: routers as namespaces, addresses translated by nftables."""
