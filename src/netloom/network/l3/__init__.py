"""Layer 3: routers, their interfaces, gateways and routes, floating addresses, forwardings."""
