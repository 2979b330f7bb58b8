"""(d) Peak memory, each case in a process of its own, and (e) how it grows with prompts, batch and images."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import Row
from tests.bench.setting import Setting

CASES = {
    "generating 64 images, diffusers, 8 a call": "plain 8 64",
    "generating 64 images, diffusers, 64 a call": "plain 64 64",
    "generating 64 images, ours": "ours 64 64 20",
    "a TailorPO iteration, straightforward": "train theirs",
    "a TailorPO iteration, ours": "train ours",
}
GROWTH = {f"evaluating {n:,} prompts, one step each": f"evaluate {n}" for n in (100, 1_000, 10_000)}
BATCHES = {f"generating 64 images, ours, {b} at a time": f"ours {b} 64 2" for b in (1, 8, 32)}


ON_A_GPU = {
    "generating 16 images, ours": "ours 16 16 2",
    "a TailorPO iteration, straightforward": "train theirs",
    "a TailorPO iteration, ours": "train ours",
}
"""A process for each takes half a minute there."""


def measure(setting: Setting) -> list[Row]:
    """MB; on a CPU the last row is 10,000 prompts against 100."""
    cases = ON_A_GPU if setting.device == "cuda" else {**CASES, **BATCHES, **GROWTH}
    found = {what: _peak(setting, words) for what, words in cases.items()}
    rows = [Row("memory", what, "MB", (value,)) for what, value in found.items()]
    if setting.device == "cuda":
        return rows
    grown = [found[what] for what in GROWTH]
    share = 100 * (grown[-1] / grown[0] - 1)
    return [*rows, Row("memory", "10,000 prompts against 100: more by", "%", (share,), most=10.0)]


def _peak(setting: Setting, words: str) -> float:
    """The peak of a process that does just this, in MB."""
    request = {"model": setting.model, "folder": setting.folder, "device": setting.device, "work": str(setting.work)}
    command = [sys.executable, "-m", "tests.bench.parts.memory", json.dumps(request), *words.split()]
    print(f"  {words}", file=sys.stderr, flush=True)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.strip().splitlines()[-1])


def _run(setting: Setting, words: list[str]) -> None:
    what, *rest = words
    if what == "train":
        from tests.bench.parts import training

        if rest == ["theirs"]:
            case = training.theirs(setting, "tailorpo", training.BATCH[setting.device])
        else:
            case = training.trainer(setting, "tailorpo")[0]
        for _ in range(2):
            case()
        return
    from tests.bench.baselines import generate_and_score as plain
    from tests.bench.parts.generation import generator

    with setting.fresh() as out:
        if what == "plain":
            batch, count = map(int, rest)
            pipe = plain.load_pipeline(setting.root, setting.device, setting.torch_dtype())
            plain.generate(pipe, setting.texts[:count], out, batch)
        elif what == "ours":
            batch, count, steps = map(int, rest)
            generator(setting, steps)(out, count, batch)
        else:
            _evaluate(setting, int(rest[0]), out)


def _evaluate(setting: Setting, count: int, store: Path) -> None:
    """The whole of an evaluation, with as little of the network as there can be."""
    from benchbench.config import SamplerConfig
    from benchbench.evaluate.measure import measure as evaluate

    prompts = setting.prompts(count)
    one = SamplerConfig(steps=1, eta=1.0, guidance_scale=1.0)
    options = {"store": store, "images_per_prompt": 1, "device": setting.device, "sampler": one}
    evaluate(setting.folder, {"base": []}, prompts, ["shapes-colour"], **options, log=lambda _: None)  # type: ignore[arg-type]


def main() -> None:
    """In the process of one case: its peak in MB on standard output."""
    request = json.loads(sys.argv[1])
    setting = Setting(request["model"], request["device"], 1, Path(request["work"]), request["folder"])
    _run(setting, sys.argv[2:])
    if setting.device == "cuda":
        import torch

        print(torch.cuda.max_memory_allocated() / 1e6)
    else:
        print(_high_water())


def _high_water() -> float:
    """This process's largest resident memory so far, in MB; the kernel's other figure begins with its parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
