"""Two models side by side: signs, verdicts, the prompts that differ most, and nothing made twice."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from benchbench.diffusion import backbones
from benchbench.errors import UsageError
from benchbench.evaluate import compare_report
from benchbench.evaluate.compare import Comparison, compare
from benchbench.evaluate.compare_report import largest_differences
from benchbench.evaluate.reward_table import reward_table
from benchbench.evaluate.sides import find_sides
from benchbench.report.folder import PAGE_DATA
from benchbench.report.sections import Page
from benchbench.stats.multiple import corrected_verdicts
from benchbench.stats.paired import difference
from tests.evaluate.test_evaluate import PROMPTS, REWARD, write_run
from tests.evaluate.test_reward_table import PROTOCOL
from tests.evaluate.test_reward_table import frame as scored
from tests.stats.test_paired import frame
from tests.tiny import write_tiny_sd


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_sd(tmp_path_factory.mktemp("tiny") / "tiny-sd"))


def run(model: str, store: Path, first: str, second: str) -> Comparison:
    options: dict[str, Any] = {"images_per_prompt": 2, "device": "cpu", "log": lambda _: None}
    return compare(*find_sides(first, second, store), model, PROMPTS, [REWARD], store=store, **options)


def test_a_run_and_the_base_both_ways_round(model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path, model)
    found = run(model, tmp_path, "ddpo-1", "base")
    cells = found.table.cells[REWARD]
    mean = cells["ddpo"].value - cells["base"].value
    assert mean != 0 and cells["difference"].value == pytest.approx(mean)
    assert cells["p"].value == found.verdicts[REWARD].p and cells["difference"].p_holm == cells["p, Holm"].value

    page = Page.model_validate_json((found.folder / PAGE_DATA).read_text())
    kinds = [section.kind for section in page.sections]
    assert kinds == ["tables", "bars", "pairs", "grid", "curves", "records"]
    bars, pairs = page.sections[1], page.sections[2]
    assert bars.kind == "bars" and bars.groups[0].bars[0].total == 6
    assert pairs.kind == "pairs" and pairs.labels == ("ddpo", "base")
    assert {pair.prompt for pair in pairs.pairs} == set(PROMPTS.prompts)
    assert "0 prompts are left out" in pairs.caption
    kinds_of_files = {"", ".json", ".html", ".csv", ".md", ".tex", ".png", ".parquet"}
    assert {path.suffix for path in found.folder.iterdir()} == kinds_of_files

    monkeypatch.setattr(backbones, "load", lambda *_: pytest.fail("the model was loaded"))
    back = run(model, tmp_path, "base", "ddpo-1")
    assert back.table.cells[REWARD]["difference"].value == pytest.approx(-mean)
    assert back.verdicts[REWARD].p == found.verdicts[REWARD].p
    turned = Page.model_validate_json((back.folder / PAGE_DATA).read_text()).sections[1]
    assert turned.kind == "bars" and turned.groups[0].bars[0].lose == bars.groups[0].bars[0].win


def test_several_trainings_a_side_are_paired_by_their_seeds(model: str, tmp_path: Path) -> None:
    """The difference is the mean over the seeds' differences; against the base it is the mean over the trainings."""
    for seed in (1, 2):
        write_run(tmp_path, model, f"a-{seed}", seed)
        write_run(tmp_path, model, f"b-{seed}", seed + 10)
        file = tmp_path / "runs" / f"b-{seed}" / "run.json"
        config = json.loads(file.read_text())
        config["config"] |= {"seed": seed, "method": "d3po"}
        file.write_text(json.dumps(config))
    both = run(model, tmp_path, "a-1,a-2", "b-2,b-1")
    assert both.table.columns[0].key == "ddpo" and both.table.columns[1].key == "d3po"
    single = [run(model, tmp_path, f"a-{seed}", f"b-{seed}").differences[REWARD].raw.value for seed in (1, 2)]
    assert both.differences[REWARD].raw.value == pytest.approx(sum(single) / 2)
    assert both.differences[REWARD].raw.seeds == 2
    bars = Page.model_validate_json((both.folder / PAGE_DATA).read_text()).sections[1]
    assert bars.kind == "bars" and bars.groups[0].bars[0].total == 12
    base = run(model, tmp_path, "base", "a-1,a-2").differences[REWARD].raw
    turned = run(model, tmp_path, "a-1,a-2", "base").differences[REWARD].raw
    assert base.value == pytest.approx(-turned.value) and base.seeds == turned.seeds == 2
    with pytest.raises(UsageError, match="1 trainings cannot be compared with 2"):
        find_sides("a-1", "b-1,b-2", tmp_path)


def test_runs_of_one_method_are_called_by_their_ids(model: str, tmp_path: Path) -> None:
    write_run(tmp_path, model)
    copy = write_run(tmp_path, model, "ddpo-2", 2)
    assert [side.label for side in find_sides("ddpo-1", str(copy), tmp_path)] == ["ddpo-1", "ddpo-2"]
    with pytest.raises(UsageError, match="are the same model"):
        find_sides("ddpo-1", str(tmp_path / "runs" / "ddpo-1"), tmp_path)
    with pytest.raises(UsageError, match="are the same model"):
        find_sides("base", "base", tmp_path)


def test_the_prompts_that_differ_most_by_hand() -> None:
    """Second side 0, 0, 2, 2 has SD 1.1547. Differences by prompt -1, 0, 3, 1 and on another scale the same tenfold.

    Both rewards agree, since each is in its own SD: the order is prompt 2, 0, 3, 1, where 0 and 3 tie.
    """
    theirs, ours = frame([[0], [0], [2], [2]]), frame([[-1], [0], [5], [3]])
    ten = [side.assign(score=10 * side.score) for side in (ours, theirs)]
    flat = frame([[1], [1], [1], [1]])
    found = largest_differences({"a": (ours, theirs), "ten": (ten[0], ten[1]), "flat": (ours, flat)})
    assert list(found.index) == [2, 0, 3, 1] and list(found.columns) == ["a", "ten"]
    assert found.loc[2].tolist() == pytest.approx([3 / 1.1547] * 2, rel=1e-4)


def test_twelve_prompts_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = frame([[float(p)] for p in range(30)]), frame([[0.0], [1.0]] * 15)

    class Measured:
        class One:
            seed = 0

        generations = {"a": [One], "b": [One]}

    monkeypatch.setattr(compare_report, "_images", lambda found, index: (f"p{index}", ("", "")))
    pairs = compare_report.side_by_side_section(("a", "b"), {"r": (ours, theirs)}, Measured)  # type: ignore[arg-type]
    assert len(pairs.pairs) == 12 and pairs.pairs[0].prompt == "p28" and "18 prompts are left out" in pairs.caption


def test_ties_keep_the_order_of_the_set() -> None:
    same = frame([[0], [1], [2]])
    assert list(largest_differences({"a": (same, same)}).index) == [0, 1, 2]
    assert isinstance(largest_differences({"a": (same, same)}), pd.DataFrame)


def test_a_fraction_has_one_interval_in_every_table() -> None:
    """The oracle's interval has a width where every image is right, and it is that of ``bench eval``."""
    right, half = (scored(0).assign(score=score, unit="fraction of stated attributes") for score in (1.0, 0.5))
    sides = {"oracle": (right.assign(reward="oracle"), half.assign(reward="oracle"))}
    differences = {name: difference(*scores) for name, scores in sides.items()}
    measured: Any = SimpleNamespace(conditions=PROTOCOL)
    verdicts = corrected_verdicts(differences)
    table = compare_report.comparison_table(("a", "b"), sides, differences, verdicts, measured, "p")
    evaluated = reward_table({"a": sides["oracle"][0]}, PROTOCOL, base=None).cells["a"]["oracle"]
    cell = table.cells["oracle"]["a"]
    assert cell.low is not None and 0.5 < cell.low < 0.99 and cell.high == 1
    assert (cell.value, cell.low, cell.high) == (evaluated.value, evaluated.low, evaluated.high)
    assert "Wilson's" in table.caption
