"""Reward against training samples, from the fixed evaluations that trainings log: TailorPO's Figure 4."""

from __future__ import annotations

from statistics import fmean, stdev

from benchbench.report import curves
from benchbench.report.sections import Section
from benchbench.report.table import Cell, Column, Table
from benchbench.reproduce import page_sections
from benchbench.reproduce.plan import Plan
from benchbench.samplers import apart_in_words
from benchbench.store import runs
from benchbench.store.metrics import read_metrics


def tables(plan: Plan) -> tuple[list[Table], list[Section]]:
    """Returns a table and curves for each reward; rows are methods, columns are numbers of training samples."""
    by_reward: list[Table] = []
    curve_sections: list[Section] = []
    for reward in plan.rewards:
        trainings = [training for training in plan.trainings if training.config.reward == reward]
        values: dict[str, dict[int, list[float]]] = {}
        for training in trainings:
            row = values.setdefault(training.row, {})
            for line in read_metrics(training.out):
                if "eval.reward" in line:
                    row.setdefault(line["samples"], []).append(line["eval.reward"])
        columns = sorted({samples for row in values.values() for samples in row})
        images = trainings[0].config.train.eval_images if trainings else 0
        samplers = apart_in_words(training.config.model_dump(mode="json") for training in trainings)
        by_reward.append(
            Table(
                name=f"{plan.spec.id.replace(':', '-')}-{reward}",
                title=f"{reward} against training samples",
                caption=f"Mean of {reward} over {images} images of {plan.track.train_prompts}, on the same noise for "
                f"all rows, after so many training samples. In brackets: one standard deviation around the mean of "
                f"{len(plan.seeds)} training seeds, as in the paper's figure."
                + (f" {samplers[0].upper()}{samplers[1:]}." if samplers else ""),
                rows=tuple(values),
                columns=tuple(Column(key=str(samples), better="higher") for samples in columns),
                cells={row: {str(n): _cell(seeds) for n, seeds in by_n.items()} for row, by_n in values.items()},
                quick=plan.quick,
            )
        )
        curve_sections += curves.from_runs(
            [runs.read(training.out) for training in trainings], page_sections.row_labels(plan)
        )
    return by_reward, curve_sections


def _cell(values: list[float]) -> Cell:
    """Returns the mean over training seeds, with one standard deviation to each side where there are several."""
    mean = fmean(values)
    spread = stdev(values) if len(values) > 1 else None
    band = {} if spread is None else {"low": mean - spread, "high": mean + spread}
    return Cell(value=mean, seeds=len(values), **band)
