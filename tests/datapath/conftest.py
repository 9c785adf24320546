"""Data paths for tests of them: the ports are those of the module's `PORTS`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.support.dummy_backend import UserspaceBackend
from tests.support.kernel_backend import KernelBackend, kernel_backend


@pytest.fixture(scope="module")
def kernel(request: pytest.FixtureRequest) -> Iterator[KernelBackend]:
    """The kernel data path, for all tests of a module."""
    with kernel_backend(request.module.PORTS) as backend:
        yield backend


@pytest.fixture(params=["userspace", pytest.param("kernel", marks=pytest.mark.root)])
def backend(request: pytest.FixtureRequest) -> UserspaceBackend | KernelBackend:
    """Each data path in turn, without flows."""
    if request.param == "userspace":
        return UserspaceBackend(request.module.PORTS)
    kernel: KernelBackend = request.getfixturevalue("kernel")
    kernel.start()
    return kernel
