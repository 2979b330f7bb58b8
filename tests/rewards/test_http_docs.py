"""The judge of docs/http-rewards.md runs as it stands there, with the errors and the numbers of its page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench import prompts, reward_calls
from benchbench.errors import UsageError
from benchbench.rewards import http_exchange, lookup
from benchbench.rewards.needs import check_needs
from tests.rewards.servers import ROOT, reference, reward_protocol

PAGE = (ROOT / "docs" / "http-rewards.md").read_text(encoding="utf-8")


def test_the_judge_of_the_page_scores(tmp_path: Path) -> None:
    [code] = re.findall(r"```python\n(# colour_share.+?)```", PAGE, re.DOTALL)
    reward_protocol()
    judge: dict[str, object] = {"__name__": "colour_share"}
    exec(compile(code, "colour_share.py", "exec"), judge)
    file = tmp_path / "colours.jsonl"
    file.write_text("".join(f"{line.strip()}\n" for line in re.findall(r'^(\{"prompt".+)$', PAGE, re.MULTILINE)))
    found, (half, full, none) = prompts.load(str(file)), [np.zeros((4, 4, 3), np.uint8) for _ in range(3)]
    half[:2, :, 0] = half[2:, :, 1] = full[..., 2] = none[..., 2] = 9
    images = [Image.fromarray(pixels) for pixels in (half, full, none)]
    info = judge["info"]
    facts = {name: getattr(info, name) for name in ("name", "version", "unit", "needs", "range")}
    with reference(judge["score"], **facts) as address:  # type: ignore[arg-type]
        reward = lookup.get(address)
        assert reward_calls.score(reward(), images, found.prompts).tolist() == [0.5, 1.0, 0.0]
    with pytest.raises(UsageError) as error:
        check_needs("plain", ["a red circle"], [reward])
    assert all(f"\n{line}\n" in PAGE.replace("\nerror: ", "\n") for line in str(error.value).splitlines())


def test_the_page_states_what_the_client_does() -> None:
    pauses = [f"{pause:g}" for pause in http_exchange.PAUSES]
    assert f"tries again after {', '.join(pauses[:-1])} and {pauses[-1]} seconds" in PAGE
    assert f"(at most {http_exchange.LONGEST_PAUSE:g})" in PAGE
    assert f"no answer in {http_exchange.ANSWER:g} seconds, no connection in {http_exchange.CONNECT:g}" in PAGE
    assert f"broken, {', '.join(map(str, http_exchange.BUSY))} |" in PAGE
    assert f"at most {http_exchange.LARGEST // 1024} kB" in PAGE
