"""The kernel data path: eBPF programs that forward packets, and what loads and feeds them."""
