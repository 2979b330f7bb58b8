"""The tutorial of a reward of your own: its code goes where the page says, and prefers warm pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchbench import registry
from benchbench.contract import new_package
from tests.docs.documented import ROOT
from tests.registry.plugin import write_plugin

PAGE = (ROOT / "docs" / "tutorials" / "own-reward.md").read_text(encoding="utf-8")


def test_the_reward_of_the_page_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = new_package.write("reward", "warmth", tmp_path)
    [file] = {path for path in written if f"`{path.relative_to(tmp_path)}`" in PAGE}
    code = file.read_text(encoding="utf-8")
    [page] = re.findall(r"```python\n(class .*?)```", PAGE, re.DOTALL)
    above, class_line, _ = code.partition(page.splitlines()[0])
    assert class_line
    code = above + page
    entries = {"benchbench.rewards": {"warmth": "warm_bench.reward:Warmth"}}
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", "warm_bench", {"reward.py": code}, entries))
    reward = registry.get("rewards", "warmth")()
    images = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue", "grey")]
    assert reward.score(images, [""] * 3).tolist() == [100.0, -100.0, 0.0]
    tensors = torch.stack([torch.tensor([r, 0.5, b]).reshape(3, 1, 1).expand(3, 4, 4) for r, b in ((1, 0), (0, 1.0))])
    assert reward.score_differentiable(tensors, [""] * 2).tolist() == [100.0, -100.0]
