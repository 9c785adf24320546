"""The schema that this version of the tool knows."""

from __future__ import annotations

from netloom.ovsdb.schema import DatabaseSchema
from netloom.rpc.json_codec import LightJson


def load_schema() -> DatabaseSchema:
    """The schema of the database Open_vSwitch, from the package's own copy."""
    path = f"{__file__.rpartition('/programs/')[0]}/ovsdb/schemas/vswitch.ovsschema"
    with open(path, "rb", buffering=0) as file:
        return DatabaseSchema.from_json(LightJson().decode(file.read()))
