"""Trains preference scorers of the shapes world on fewer choices than ``shapes-pref`` saw.

``python results/train_proxies.py FOLDER`` makes a reward ``proxy-CHOICES-SEED`` for each number of choices and each
seed. With ``BENCH_WEIGHTS=FOLDER`` every command knows them. The drawings, the annotators and the training are those of
``shapes-pref`` (benchbench/shapes_build/pref.py), with four passes over the choices, as it has. The scorers of one seed
share their choices: a smaller number is a part of a larger one. FOLDER/accuracy.csv says how often each scorer agrees
with the same 1,600 choices, that none of them was trained on, and with the annotators' utility.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from transformers import CLIPModel

from benchbench.runtime.files import replacing_folder, write_atomic
from benchbench.runtime.progress import progress
from benchbench.runtime.quiet import silence_libraries
from benchbench.shapes import WEIGHTS
from benchbench.shapes_build import tokenizer
from benchbench.shapes_build.pref import BATCH, STEPS, Choices, annotated_pairs, fit

SIZES, SEEDS = (225, 900, 3600, 14400), (0, 1, 2, 3)
HELD_OUT = 1600
PASSES = 4
"""Twenty learn 900 choices by heart, and then agree with fewer of the others: .745, after four .764 (seed 0)."""
SEED = 77_000_000
"""Of the drawings and choices of seed 0; the recipe's stages have others."""
COLUMNS = ("reward", "choices", "seed", "steps", "agrees_with_choices", "agrees_with_utility")


@lru_cache(maxsize=1)
def world(seed: int, count: int) -> tuple[Choices, torch.Tensor, torch.Tensor]:
    """Returns choices of annotators, by how much more the first picture of each is worth to them, and an order.

    The order is drawn: the pictures of the second half are reconstructed by the autoencoder.
    """
    torch.manual_seed(SEED + seed)
    autoencoder = AutoencoderKL.from_pretrained(WEIGHTS / "model" / "vae").requires_grad_(False).eval()
    prompts, pictures, utilities, first = annotated_pairs(autoencoder, count, SEED + seed)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED + seed))
    return Choices(tokenizer.encode(tokenizer.make(), prompts), pictures, first), utilities[0] - utilities[1], order


def steps_for(size: int) -> int:
    """Returns the optimizer steps for so many choices: four passes, or those of ``shapes-pref``."""
    return min(STEPS, PASSES * size // BATCH)


def proxy(folder: Path, size: int, seed: int, held_out: int = HELD_OUT, largest: int = SIZES[-1]) -> dict[str, object]:
    """Trains one scorer into its folder; returns its row of the table. ``size`` is at most ``largest``."""
    name, steps = f"proxy-{size}-{seed}", steps_for(size)
    choices, difference, order = world(seed, held_out + largest)
    test, train = order[:held_out], order[held_out:][:size]
    torch.manual_seed(SEED + 1000 + seed)
    model = CLIPModel.from_pretrained(WEIGHTS / "clip", dtype=torch.float32)
    with progress(steps, f"training {name}", "steps") as bar:
        fit(model, choices, train, steps, lambda _step, loss: bar.advance(1, f"loss {loss:.3g}"))
    with torch.no_grad():
        predicted = torch.cat([choices.margins(model, part) for part in test.split(100)])
    with replacing_folder(folder / name) as made:
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, made / "model.safetensors")
        write_atomic(made / "reward.yaml", b'like: shapes-pref\nversion: "1"\nweights: model.safetensors\n')
    first = predicted > 0
    shares = [
        (first == (choices.first[test] > 0.5)).float().mean().item(),
        (first == (difference[test] > 0)).float().mean().item(),
    ]
    return dict(zip(COLUMNS, (name, size, seed, steps, *(round(share, 4) for share in shares)), strict=True))


def train_missing(folder: Path, sizes: Sequence[int], seeds: Sequence[int]) -> None:
    """Trains the scorers that the folder's table lacks, and adds the row of each as it ends."""
    table = folder / "accuracy.csv"
    rows = list(csv.DictReader(table.open(encoding="utf-8"))) if table.is_file() else []
    rows = [row for row in rows if row["steps"] == str(steps_for(int(row["choices"])))]
    there = {row["reward"] for row in rows}
    for seed, size in product(seeds, sizes):
        if f"proxy-{size}-{seed}" in there:
            continue
        rows.append({key: str(value) for key, value in proxy(folder, size, seed).items()})
        lines = [",".join(COLUMNS), *(",".join(row[column] for column in COLUMNS) for row in rows)]
        write_atomic(table, "\n".join([*lines, ""]).encode())


def size_of(text: str) -> int:
    """Returns a number of choices. Raises ArgumentTypeError."""
    if not text.isdecimal() or not BATCH <= int(text) <= SIZES[-1]:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of choices from {BATCH}, one step, to {SIZES[-1]}")
    return int(text)


def main() -> int:
    """Trains what the folder lacks, and writes the table row by row. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=size_of, nargs="+", default=SIZES)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    silence_libraries()
    asked.folder.mkdir(parents=True, exist_ok=True)
    try:
        train_missing(asked.folder, asked.sizes, asked.seeds)
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
