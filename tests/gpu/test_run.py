"""The command around the steps keeps time limits, parts of killed steps, the record and its table."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.gpu import __main__ as command
from tests.gpu import child as process
from tests.gpu import outcome as child
from tests.gpu import summary
from tests.gpu.context import StepContext, plain
from tests.gpu.outcome import outcome
from tests.gpu.plan import PRETENDED, STEPS, Step, chosen
from tests.gpu.profile import kernel_kind

STEP = Step(3, "methods", "first", 5, "a title")
DONE = 'import json, sys; f = open(sys.argv[1], "w")\nfor line in ({}): f.write(json.dumps(line) + "\\n")\nf.flush()\n'
LINES = '{"begins": "a"}, {"part": "a", "x": 1, "seconds": 2.0}, {"begins": "b"}'


def run_step(tmp_path: Path, code: str, limit: float = 20.0) -> dict[str, Any]:
    findings = tmp_path / "methods.jsonl"
    return outcome(STEP, [sys.executable, "-c", code, str(findings)], findings, limit)


def test_the_parts_of_each_command_fit_into_ten_minutes() -> None:
    assert {step.number for step in STEPS} == set(range(1, 11))
    assert [step.number for step in chosen("first", "")] == [1, 3, 4, 6, 9]
    assert [step.number for step in chosen("more", "")] == [2, 5, 7, 8, 10]
    for part in ("first", "more"):
        assert sum(step.seconds for step in chosen(part, "")) <= 600
    assert [step.name for step in chosen("first", "sdxl, 3")] == ["methods", "sdxl"]
    with pytest.raises(SystemExit, match="no step eleven"):
        chosen("first", "eleven")


def test_a_step_that_ends_well(tmp_path: Path) -> None:
    line = run_step(tmp_path, DONE.format(LINES.removesuffix(', {"begins": "b"}')))
    assert line["status"] == "ok" and line["parts"] == {"a": {"x": 1, "seconds": 2.0}}
    assert "log" not in line and summary.wrong(line) == []


def test_a_step_over_its_limit_is_cut_with_all_it_started(tmp_path: Path) -> None:
    """The child of the step ends, too, which writes its process id and would sleep for a minute."""
    pid = tmp_path / "pid"
    sleeper = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    start = f"import os, time, subprocess; subprocess.Popen([sys.executable, '-c', {sleeper!r}])\n"
    wait = f"while not os.path.exists({str(pid)!r}): time.sleep(.01)\ntime.sleep(60)"
    line = run_step(tmp_path, DONE.format(LINES) + start + wait, 3.0)
    assert line["status"] == "cut" and line["cut"] == "over 3 s, in b" and set(line["parts"]) == {"a"}
    for _ in range(200):
        if not _alive(int(pid.read_text())):
            break
        time.sleep(0.05)
    assert not _alive(int(pid.read_text()))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.is_file() or state.read_text().split(")")[1].split()[0] != "Z"


def test_a_process_that_dies_keeps_its_parts_and_says_how(tmp_path: Path) -> None:
    line = run_step(tmp_path, DONE.format(LINES) + "print('last words'); sys.stdout.flush(); import os; os.abort()")
    assert line["status"] == "failed" and line["error"] == "the process ended with -6 in b"
    assert set(line["parts"]) == {"a"} and "last words" in line["log"]


def test_an_error_in_a_part_does_not_stop_the_next(tmp_path: Path) -> None:
    context = StepContext("cpu", "tiny", tmp_path, tmp_path / "found.jsonl")
    with context.part("first"):
        raise ValueError("out of luck")
    with context.part("second") as result:
        result["value"] = float("nan")
        result.check("it is wrong", False)
    first, second = (json.loads(line) for line in context.findings.read_text().splitlines() if '"part"' in line)
    assert first["error"].startswith("ValueError: out of luck at test_run.py:")
    assert second["value"] == "nan" and second["failed"] == ["it is wrong"]
    assert plain({"a": 1.23456789, "b": (True, None)}) == {"a": 1.235, "b": [True, None]}


def test_the_record_is_written_step_by_step_and_repeated_steps_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second of three steps fails, and the third still runs; ``--only`` repeats one."""
    calls: list[tuple[str, float]] = []

    def fake_outcome(step: Step, words: Any, findings: Path, limit: float) -> dict[str, Any]:
        calls.append((step.name, limit))
        (result,) = out.glob("*.jsonl") if len(calls) > 1 else [None]
        assert result is None or len(result.read_text().splitlines()) == len(calls) - 1
        status = "failed" if step.name == "methods" and len(calls) < 4 else "ok"
        part = {"x": 0.5} | ({"failed": ["no | good"]} if status == "failed" else {})
        line = {"step": step.name, "number": step.number, "title": step.title, "status": status}
        return line | {"seconds": 1.0, "limit": limit, "parts": {"p": part}}

    out = tmp_path / "out"
    monkeypatch.setattr(command, "outcome", fake_outcome)
    words = ["--device", "cpu", "--size", "tiny", "--out", str(out), "--work", str(tmp_path / "work")]
    assert command.main([*words, "--only", "1,3,8"]) == 1
    assert [name for name, _ in calls] == ["machine", "methods", "sdxl"]
    assert calls[-1][1] > 150  # the third step may use the time that the first two left
    table = next(out.glob("*.md")).read_text()
    assert "| 3 methods | a rollout, a loss and an optimizer step of every method | failed | 1 (" in table
    assert "p: no / good" in table
    assert command.main([*words, "--only", "methods"]) == 0
    table = next(out.glob("*.md")).read_text()
    assert "failed" not in table and table.count("## 3 methods") == 1 and "## 8 sdxl" in table
    assert "| p | x 0.5 |" in capsys.readouterr().out


@pytest.mark.parametrize("step", [*STEPS, PRETENDED], ids=lambda step: step.name)
def test_a_step_s_process_finds_its_file(step: Step, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent's command reaches the step's ``run`` with the right context."""
    words, findings = child.child(step, "cuda", "fake", tmp_path)
    contexts: list[StepContext] = []
    monkeypatch.setattr(step.module, "run", contexts.append)
    monkeypatch.setattr(sys, "argv", words[2:])
    monkeypatch.setattr(os, "environ", dict(os.environ))
    process.main()
    assert contexts == [StepContext("cuda", "fake", tmp_path, findings)] and words[1:3] == ["-m", "tests.gpu.child"]


def test_real_size_is_refused_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["--device", "cpu"])
    assert "--size tiny" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("sm90_xmma_gemm_bf16bf16_bf16f32", "matrix products"),
        ("nvjet_hsh_128x256_64x4_2x1_v_bz_coopA_TNT", "matrix products"),
        ("void cudnn::engines_precompiled::nchwToNhwcKernel", "copies and layouts"),
        ("sm80_xmma_fprop_implicit_gemm_bf16", "convolution"),
        ("void pytorch_flash::flash_fwd_kernel<Flash>", "attention"),
        ("void at::native::vectorized_elementwise_kernel<4>", "elementwise"),
        ("triton_poi_fused_silu_3", "compiled kernels"),
        ("RowwiseMomentsCUDAKernel", "norms"),
        ("Memcpy HtoD", "copies and layouts"),
        ("something", "other kernels"),
    ],
)
def test_kernels_are_told_apart(kernel: str, expected: str) -> None:
    assert kernel_kind(kernel) == expected
