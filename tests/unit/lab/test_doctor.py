"""What the doctor says of a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from netloom.lab.doctor import (
    kernel_finding,
    largest_passing,
    leftover_findings,
    limit_finding,
    mtu_finding,
    rights_findings,
)


@pytest.mark.parametrize("limit", [576, 1450, 1500, 9000, 9216])
def test_the_largest_size_that_passes_is_found(limit: int) -> None:
    assert largest_passing(576, 9216, lambda size: size <= limit) == limit


def test_a_path_that_carries_nothing_is_a_failure_with_a_remedy() -> None:
    finding = mtu_finding("192.0.2.1", lambda size: False)
    assert finding.level == "failure"
    assert "ip route get 192.0.2.1" in finding.remedy


@pytest.mark.parametrize(
    ("target", "mtu", "inner", "level"),
    [
        ("192.0.2.1", 1500, 1450, "warning"),
        ("192.0.2.1", 1550, 1500, "ok"),
        ("2001:db8::1", 1550, 1480, "warning"),
        ("2001:db8::1", 1570, 1500, "ok"),
    ],
)
def test_the_tunnels_headers_are_taken_from_the_path_mtu(
    target: str, mtu: int, inner: int, level: str
) -> None:
    finding = mtu_finding(target, lambda size: size <= mtu)
    assert (finding.level, str(inner) in finding.text) == (level, True)
    assert (f"global_physnet_mtu = {mtu}" in finding.remedy) is (level == "warning")


def test_each_missing_right_is_named() -> None:
    assert [one.level for one in rights_findings((1 << 40) - 1)] == ["ok"]
    missing = list(rights_findings(1 << 13))
    assert [one.text.split(":")[0] for one in missing] == ["no CAP_NET_ADMIN", "no CAP_SYS_ADMIN"]
    assert all(one.remedy for one in missing)


@pytest.mark.parametrize(
    ("release", "level"),
    [("6.6.0", "ok"), ("6.12-rc1", "ok"), ("6.1.0-18-amd64", "ok"), ("5.15.0", "warning")],
)
def test_old_kernels_are_told(release: str, level: str) -> None:
    assert kernel_finding(release).level == level


def test_few_open_files_are_told() -> None:
    assert limit_finding(256).level == "warning"
    assert limit_finding(-1).level == limit_finding(4096).level == "ok"


def test_labs_without_their_process_are_leftovers(tmp_path: Path) -> None:
    assert [one.level for one in leftover_findings(tmp_path)] == ["ok"]
    for name, owner in (("living", "1"), ("killed", "0"), ("kept", "0")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "owner").write_text("999999999" if owner == "0" else owner)
    (tmp_path / "kept" / "state.json").write_text("{}")
    remedies = {one.text.split(":")[0]: one.remedy for one in leftover_findings(tmp_path)}
    assert remedies == {
        "lab killed": "netloom clean-host",
        "lab kept": "netloom lab down kept",
    }
