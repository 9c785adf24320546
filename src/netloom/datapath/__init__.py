"""Data paths: what carries packets between ports by flows that `ofproto` installs."""
