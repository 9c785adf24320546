"""`ovs-pki`: certificates for switches and controllers (ovs-pki(8)).

A public key infrastructure is a directory with two authorities, `controllerca` and `switchca`, each
laid out so that openssl-ca(1) could go on with it. The library `cryptography` does what Open
vSwitch has openssl(1) do.
"""
