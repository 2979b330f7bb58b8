"""Sizes at which the test runs each documented command, and the reasons why some are only parsed.

A command that no line here mentions is run as it stands, with the sizes of ``SMALL``. A program that is not ours and is
not in ``OTHERS`` fails the test.
"""

from __future__ import annotations

ONLY_PARSED = {
    r"bench fetch ": "downloads",
    r"bench parity": "installs 5 GB of the authors' packages; tests/parity runs it on a small environment",
    r"bench study serve ": "serves until it is stopped; tests/study runs it",
    r"bench status .*--watch": "waits until all jobs are done",
    r"bench measure cost ": "trains in a process of its own; tests/protocols runs it",
    r"bench train .*--track-with wandb": "needs packages that are not installed for tests",
    r"accelerate launch .* -m benchbench ": "starts several processes on GPUs; tests/train runs two on the CPU",
    r"bench-env/bin/bench ": "is the command of another environment",
    r"bench eval .*--prompts (plain|colours)": "needs the page's own judge; tests/rewards/test_http_docs.py runs it",
}
"""Commands by their beginning, with the reason why parsing their words is all that the test can do."""

OTHERS = {
    r"git clone ": "the repository has no address yet",
    r"source \.venv/bin/activate": "of Python's venv",
    r"module load ": "of a cluster",
    r"nvidia-smi": "of NVIDIA's driver",
    r"python3(\.10)? -m venv ": "of Python",
    r"ray start |BENCH_RAY_STORE=\S+ ray start ": "of Ray",
    r"vllm serve ": "of vLLM",
    r"hpsv3/bin/pip install ": "of another environment",
    r"\.venv/bin/pip install torch$": "of pytorch's installation page",
    r"pip install -e \./(reinforce|warmth)$": "installs the package that `bench new` wrote, whose own test does it",
    r"python colour_share\.py": "a file of the page; tests/rewards/test_http_docs.py runs it",
}
"""Programs of others by the beginning of the command, with their owner."""

SMALL = {
    "train": ["--samples", "2", "--set", "train.batch=2", "train.eval_every=0"],
    "eval": ["--images-per-prompt", "1", "--steps", "2"],
    "compare": ["--images-per-prompt", "1"],
    "grid": ["--steps", "2"],
    "pairs make": ["--images", "2"],
    "study new": ["--images-per-prompt", "2", "--raters", "3"],
    "study simulate": ["--panels", "2", "--raters", "5", "--prompts", "20"],
    "measure win-rate": ["--set", "images_per_prompt=1"],
    "measure jensen-gap": ["--set", "states=1", "completions=2", "steps=[4]"],
    "measure guidance-ratio": ["--set", "states=1", "steps=[4]"],
    "measure preference-order": ["--set", "states=1", "completions=2", "steps=[4]"],
    "measure gradient-direction": ["--set", "states=1", "steps=[4]"],
    "measure reward-hacking": ["--set", "rewards=[shapes-pref]"],
    "measure editing": ["--set", "strengths=[0.05]", "images_per_prompt=1"],
    "reproduce": ["--dry-run"],
    "sweep": ["--dry-run"],
    "tune": ["--dry-run"],
}
"""Words that make a command small; they replace the same options. A table's jobs are processes, so that its plan
is made here; one table is made to its end in a test of its own."""

PROMPTS = ("compare", "grid", "eval", "measure", "pairs make", "study new")
"""Commands whose ``--prompts`` becomes a file of two prompts."""
