"""Part `memory`: peak memory, each case in its own process, and its growth with prompts, batch size and images."""

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
"""Fewer cases, since each process takes half a minute on a GPU."""


def measure(setting: Setting) -> list[Row]:
    """Measures peaks in MB; on a CPU the last row compares 10,000 prompts with 100."""
    cases = ON_A_GPU if setting.device == "cuda" else {**CASES, **BATCHES, **GROWTH}
    peaks = {case: _peak(setting, arguments) for case, arguments in cases.items()}
    rows = [Row("memory", case, "MB", (value,)) for case, value in peaks.items()]
    if setting.device == "cuda":
        return rows
    grown = [peaks[case] for case in GROWTH]
    share = 100 * (grown[-1] / grown[0] - 1)
    return [*rows, Row("memory", "10,000 prompts against 100: more by", "%", (share,), most=10.0)]


def _peak(setting: Setting, arguments: str) -> float:
    """Returns the peak in MB of a process that runs just this case."""
    request = {"model": setting.model, "folder": setting.folder, "device": setting.device, "work": str(setting.work)}
    command = [sys.executable, "-m", "tests.bench.parts.memory", json.dumps(request), *arguments.split()]
    print(f"  {arguments}", file=sys.stderr, flush=True)
    process = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(process.stdout.strip().splitlines()[-1])


def _run(setting: Setting, arguments: list[str]) -> None:
    task, *options = arguments
    if task == "train":
        from tests.bench.parts import training

        if options == ["theirs"]:
            case = training.straightforward(setting, "tailorpo", training.BATCH[setting.device])
        else:
            case = training.trainer(setting, "tailorpo")[0]
        for _ in range(2):
            case()
        return
    from tests.bench.baselines import generate_and_score as plain
    from tests.bench.parts.generation import generator

    with setting.fresh() as out:
        if task == "plain":
            batch, count = map(int, options)
            pipe = plain.load_pipeline(setting.root, setting.device, setting.torch_dtype())
            plain.generate(pipe, setting.texts[:count], out, batch)
        elif task == "ours":
            batch, count, steps = map(int, options)
            generator(setting, steps)(out, count, batch)
        else:
            _evaluate(setting, int(options[0]), out)


def _evaluate(setting: Setting, count: int, store: Path) -> None:
    """Runs a complete evaluation with one denoising step, so that little of its time is spent in the network."""
    from benchbench.evaluate.measure import measure as evaluate
    from benchbench.samplers import SamplerConfig

    prompts = setting.prompts(count)
    one_step = SamplerConfig(steps=1, eta=1.0, guidance_scale=1.0)
    options = {"store": store, "images_per_prompt": 1, "device": setting.device, "sampler": one_step}
    evaluate(setting.folder, {"base": []}, prompts, ["shapes-colour"], **options, log=lambda _: None)  # type: ignore[arg-type]


def main() -> None:
    """Runs in the process of a case; prints its peak in MB."""
    request = json.loads(sys.argv[1])
    setting = Setting(request["model"], request["device"], 1, Path(request["work"]), request["folder"])
    _run(setting, sys.argv[2:])
    if setting.device == "cuda":
        import torch

        print(torch.cuda.max_memory_allocated() / 1e6)
    else:
        print(_high_water())


def _high_water() -> float:
    """Returns this process's peak resident memory in MB; ``ru_maxrss`` would start at the parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    main()
