"""Writes votes for others: for D3PO (JSON lines), as preference pairs for offline methods, and as they are (CSV)."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchbench.errors import UsageError
from benchbench.runtime.files import replacing_folder, write_atomic
from benchbench.runtime.hashing import file_sha256
from benchbench.runtime.printable import csv_text
from benchbench.runtime.sealed import write_sealed
from benchbench.samplers import described
from benchbench.study.design import Study
from benchbench.study.pictures import FOLDER
from benchbench.study.progress import preferred
from benchbench.study.vote_store import StoredVote

HEADER = "votes_of"
"""The field by which the first line of a file of votes is known as its header."""
ROWS_PER_GROUP = 8  # reading one row of a parquet file reads its whole row group


def pair_votes(
    study: Study, votes: Sequence[StoredVote], question: int, excluded: Collection[int]
) -> Iterator[tuple[int, int]]:
    """Yields (comparison, outcome) of the votes that count: of first showings, on one question, of kept raters."""
    for vote in votes:
        item = study.assignment[vote.slot][vote.position]
        if item.kind == "pair" and vote.question == question and vote.slot not in excluded:
            yield item.number, preferred(item, vote.answer)


def write_votes(study: Study, votes: Sequence[StoredVote], path: Path, question: int, excluded: Collection[int]) -> int:
    """Writes the votes for D3PO's ``method.votes`` and returns their number.

    The header says how the images were made. Raises UsageError for a study between runs and for a file that exists.
    """
    if study.between_runs:
        raise UsageError(
            "D3PO cannot learn from these votes",
            f"they compare images of {', '.join(arm.label for arm in study.arms)}, and D3PO walks again to images of "
            "one model",
            "export --pairs for a method that learns from pairs, or make a study with one --row",
        )
    if "eta" not in study.sampler:
        raise UsageError(
            "D3PO cannot learn from these votes",
            f"their images were made by {described(study.sampler)}: a step without noise has no log-probability",
            "export --pairs for a method that learns from pairs, as diffusion-dpo",
        )
    if path.suffix != ".jsonl":
        raise UsageError(f"{path} is no .jsonl file", "votes with a header are JSON lines", "name it votes.jsonl")
    _refuse_existing(path)
    lines: list[dict[str, Any]] = [
        {
            HEADER: study.name,
            "question": study.questions[question],
            "model_hash": study.model_hash,
            "adapter_hash": study.arms[0].adapter_hash,
            "prompts_hash": study.prompts_hash,
            "shared_start": study.shared_start,
            **{name: study.sampler[name] for name in ("steps", "guidance_scale", "eta")},
        }
    ]
    for number, outcome in pair_votes(study, votes, question, excluded):
        comparison = study.comparisons[number]
        i, j = study.pictures[comparison.first], study.pictures[comparison.second]
        place = {"prompt": study.prompts[i.prompt], "index": i.prompt, "seed": i.seed, "i": i.sample, "j": j.sample}
        winner = {1: i.sample, -1: j.sample}.get(outcome, "tie")
        lines.append({**place, "winner": winner, "sha256_i": i.sha256, "sha256_j": j.sha256})
    write_atomic(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode())
    return len(lines) - 1


def write_pairs(
    folder: Path, study: Study, votes: Sequence[StoredVote], out: Path, question: int, excluded: Collection[int]
) -> int:
    """Writes preference pairs into a new folder and returns their number: a pair's winner has the most votes.

    Pairs without a majority are left out. Raises UsageError for a folder that exists, and where no pair is left.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _refuse_existing(out)
    rows = list(_majorities(folder, study, pair_votes(study, votes, question, excluded)))
    if not rows:
        raise UsageError("there is no pair to write", "no pair has a majority", "gather more votes")
    with replacing_folder(out) as temporary:
        path = temporary / "pairs.parquet"
        pq.write_table(pa.Table.from_pylist([_with_bytes(row) for row in rows]), path, row_group_size=ROWS_PER_GROUP)
        facts = {"study": study.name, "question": study.questions[question], "pairs": len(rows)}
        write_sealed(temporary / "record.json", {**facts, "sha256": file_sha256(path), "made_on": study.made_on})
    return len(rows)


def _majorities(folder: Path, study: Study, votes: Iterator[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    counts: dict[int, Counter[int]] = {}
    for number, outcome in votes:
        counts.setdefault(number, Counter())[outcome] += 1
    for number, count in sorted(counts.items()):
        if count[1] == count[-1]:
            continue
        comparison = study.comparisons[number]
        first, second = study.pictures[comparison.first], study.pictures[comparison.second]
        winner, loser = (first, second) if count[1] > count[-1] else (second, first)
        sides = {"winner": winner, "loser": loser}
        yield {
            "caption": study.prompts[winner.prompt],
            **{side: folder / FOLDER / picture.file for side, picture in sides.items()},
            **{f"{side}_row": study.arms[picture.arm].label for side, picture in sides.items()},
            "winner_votes": max(count[1], count[-1]),
            "loser_votes": min(count[1], count[-1]),
            "draws": count[0],
            "prompt_index": winner.prompt,
            "seed": winner.seed,
            **{f"{side}_sample": picture.sample for side, picture in sides.items()},
        }


def _with_bytes(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value.read_bytes() if isinstance(value, Path) else value for name, value in row.items()}


def write_csv(study: Study, votes: Sequence[StoredVote], path: Path) -> int:
    """Writes every vote that counts, checks and repeats too, and returns their number. Raises UsageError."""
    _refuse_existing(path)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    sides = [f"{side}_{word}" for side in ("left", "right") for word in ("row", "sample")]
    writer.writerow(["rater", "page", "kind", "number", "prompt", "question", *sides, "answer", "milliseconds", "time"])
    for vote in votes:
        item = study.assignment[vote.slot][vote.position]
        if item.kind == "check":
            shown: list[list[Any]] = [
                ["picture", study.pictures[study.checks[item.number].picture].sample],
                ["destroyed", ""],
            ]
        else:
            comparison = study.comparisons[item.number]
            pictures = [study.pictures[comparison.first], study.pictures[comparison.second]]
            shown = [[csv_text(study.arms[picture.arm].label), picture.sample] for picture in pictures]
        if item.swapped:
            shown.reverse()
        words = [csv_text(study.prompt(item)), csv_text(study.questions[vote.question])]
        place = [vote.slot + 1, vote.position + 1, item.kind, item.number]
        writer.writerow([*place, *words, *shown[0], *shown[1], vote.answer, vote.milliseconds, f"{vote.time:.3f}"])
    write_atomic(path, out.getvalue().encode())
    return len(votes)


def _refuse_existing(path: Path) -> None:
    if path.exists():
        raise UsageError(f"{path} exists", "nothing is overwritten", "name another one, or remove it")
