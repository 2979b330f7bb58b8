"""The table in reward_models/README.md says what the classes say."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench import registry
from benchbench.rewards import lookup

ROWS = {
    line.split("`")[1]: line
    for line in (Path(__file__).parents[2] / "reward_models" / "README.md").read_text(encoding="utf-8").splitlines()
    if line.startswith("| `")
}


@pytest.mark.parametrize("name", [name for name in registry.names("rewards") if not name.startswith("shapes")])
def test_every_reward_has_its_row(name: str) -> None:
    """Version, range, hub id, size and licence."""
    kind = lookup.get(name)
    row = ROWS[name]
    low, high = kind.range
    assert f"{low:g} to {high:g}" in row
    assert f"| {kind.version} |" in row
    assert ("| yes |" in row) == kind.differentiable
    for asset in kind.assets[:1]:
        assert asset.repos[0] in row and asset.size in row and asset.licence.split()[0] in row
