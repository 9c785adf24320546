"""HTTP: version 2.0 of the OpenStack Networking API, and what agents ask for."""
