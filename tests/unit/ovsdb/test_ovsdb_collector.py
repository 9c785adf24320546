"""Collections are put off, and only for as long as asked."""

from __future__ import annotations

import gc

from netloom.ovsdb.collector import NoCollection


def test_collections_are_on_again_after_an_error() -> None:
    try:
        with NoCollection():
            assert not gc.isenabled()
            raise KeyError
    except KeyError:
        assert gc.isenabled()


def test_collections_that_were_off_stay_off() -> None:
    gc.disable()
    try:
        with NoCollection(), NoCollection():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
