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
    assert name in ROWS, f"add a row that begins with | `{name}` | to the table in reward_models/README.md"
    row = ROWS[name]
    low, high = kind.range
    assert f"{low:g} to {high:g}" in row, f"the row of {name} lacks its range, {low:g} to {high:g}"
    assert f"| {kind.version} |" in row, f"the row of {name} lacks its version, {kind.version}"
    gradient = "yes" if kind.differentiable else "no"
    assert f"| {gradient} |" in row, f"the row of {name} should say {gradient} under gradient"
    for asset in kind.assets[:1]:
        for said in (asset.repos[0], asset.size, asset.licence.split()[0]):
            assert said in row, f"the row of {name} lacks {said}, which its weights name"
