"""The DHCP agent: a dnsmasq in a namespace for each network."""
