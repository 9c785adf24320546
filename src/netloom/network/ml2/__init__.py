"""Modular layer 2: type drivers allocate segments, mechanism drivers bind ports, extension drivers
add attributes; `plan` says what happens when."""
