"""Every command that README and docs show is run at its smallest size, or parsed where ``treatment`` says why."""

from __future__ import annotations

import csv
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

from benchbench.cli.commands import COMMANDS, load
from benchbench.cli.main import main, spread
from benchbench.reproduce import card_estimate, spec
from benchbench.reproduce import run as reproduce
from benchbench.train import memory_table
from benchbench.train.memory_plan import MemoryPlan
from docs_build import methods
from docs_build.links import ROOT
from tests.docs import documented, treatment
from tests.docs.documented import Shown
from tests.docs.world import World
from tests.forked import forked_jobs
from tests.rewards.servers import reference

__all__ = ["forked_jobs"]

SHAPES_SETS = ("shapes-simple", "shapes-complex", "animals")
FETCH_ONLY = re.compile(r"(?m)^  do:  (bench fetch --\w+ \S+(; )?)+$")


def name_of(words: list[str]) -> str:
    """Returns the command that words call, as ``study new``."""
    assert words[0] in COMMANDS, f"there is no command bench {words[0]}"
    group = getattr(load(words[0]), "commands", None)
    assert group is None or words[1] in group, f"there is no command bench {words[0]} {words[1:2]}"
    return words[0] if group is None else " ".join(words[:2])


def command_of(name: str) -> Any:
    """Returns the parser of a command."""
    first, _, second = name.partition(" ")
    return load(first).commands[second] if second else load(first)


def options_of(words: list[str]) -> set[str]:
    """Returns the options of the command that words begin with; of a group without a second word, those of all."""
    group = getattr(load(words[0]), "commands", None)
    commands = (
        [load(words[0])] if group is None else [group[w] for w in words[1:2] if w in group] or list(group.values())
    )
    return {option for command in commands for p in command.params for option in [*p.opts, *p.secondary_opts]}


def parse(words: list[str]) -> None:
    """Raises the parser's error for a word that the command does not take."""
    name = name_of(words)
    command_of(name).make_context(name, spread(words[len(name.split()) :]))


def small(words: list[str], world: World) -> list[str]:
    """Returns a command of its smallest size."""
    name = " ".join(words[:2]) if words[0] == "measure" else name_of(words)
    words = list(words)
    if name.startswith(treatment.PROMPTS) and "editing" not in name and not any(w in words for w in ("sd15", "sdxl")):
        if "--prompts" not in words:
            words += ["--prompts", world.prompts]
        elif words[words.index("--prompts") + 1] in SHAPES_SETS:
            words[words.index("--prompts") + 1] = world.prompts
    if "method.votes=votes.jsonl" in words:
        words = replaced(words, ["--prompts", world.prompts])
    if name == "measure editing":
        words += ["--prompts", "my-edits/"]
    if (
        name == "train"
        and words[2] in ("diffusion-dpo", "dspo", "sft", "diffusion-kto", "mapo")
        and "--pairs" not in words
    ):
        words += ["--pairs", "made:my-prompts.txt:shapes-pref:2"]
    if name == "study simulate" and "--difference" not in words:
        return replaced(words, ["--reward", "shapes-colour"])  # the oracle may find all of so few pictures alike
    if name == "train" and {"grpo", "awm", "diffusion-nft"} & set(words):
        words = replaced(words, ["--set", "method.group=2"])
    return replaced(words, treatment.SMALL.get(name, []))


def replaced(words: list[str], options: list[str]) -> list[str]:
    """Returns words with options that replace the same ones; values of ``--set`` are added."""
    for option, values in grouped(options):
        if option in words and option != "--set":
            at = words.index(option)
            words = words[:at] + words[at + 1 + len(values) :]
        words = [*words, option, *values]
    return words


def grouped(options: list[str]) -> list[tuple[str, list[str]]]:
    """Returns each option with its values."""
    found: list[tuple[str, list[str]]] = []
    for word in options:
        if word.startswith("--"):
            found.append((word, []))
        else:
            found[-1][1].append(word)
    return found


def check_other(shown: Shown) -> None:
    """Checks what a line that does not begin with bench names: a target of make, an extra, a file of ours."""
    line, words = " ".join(shown.words), shown.words
    if words[0] == "make":
        assert re.search(rf"(?m)^[\w -]*\b{words[1]}\b[\w -]*:", (ROOT / "Makefile").read_text()), (
            f"no target {words[1]}"
        )
    elif words[0].endswith("pip") and words[1] == "install" and re.search(r"(benchbench|\.)(\[\w+\])?$", words[-1]):
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"\[(\w+)\]", words[-1])) <= set(extras), f"no extra {words[-1]}"
    elif match := re.match(r"(?:\S*/)?python (?:-m )?(\S+)", line):
        name = match[1].replace(".", "/") + ".py" if " -m " in line else match[1]
        [file] = {*ROOT.glob(name), *ROOT.glob(f"examples/reward_server/{name}")} or [None]
        assert file is not None or any(re.match(known, line) for known in treatment.OTHERS), f"no file {match[1]}"
        options = [word for word in words if word.startswith("--")] if file else []
        assert [option for option in options if f'"{option}"' not in file.read_text()] == []  # type: ignore[union-attr]
    else:
        assert any(re.match(known, line) for known in treatment.OTHERS), "unknown program; see tests/docs/treatment.py"


def run(shown: Shown, world: World, capsys: pytest.CaptureFixture[str], done: set[str]) -> None:
    """Runs a command of benchbench; what lacks nothing but weights must say how to fetch them."""
    words = shown.words
    if "-m" in words and "benchbench" in words:
        words = ["bench", *words[words.index("benchbench") + 1 :]]
    elif words[0] != "bench" and not words[0].endswith("/bench"):
        return check_other(shown)
    words = world.filled(words[: words.index(">")] if ">" in words else words)[1:]
    if any(re.match(beginning, shown.line) for beginning in treatment.ONLY_PARSED):
        return parse(words)
    words = small(words, world)
    if shlex.join(words) in done:
        return None
    done.add(shlex.join(words))
    for option in ("--csv", "--votes", "--out"):  # nothing is overwritten, and pages name the same files
        if option in words:
            Path(words[words.index(option) + 1]).unlink(missing_ok=True)
    capsys.readouterr()
    code = main(words)
    said = capsys.readouterr()
    missing = code == 3 and FETCH_ONLY.search(said.err)
    assert code == 0 or missing, f"bench {shlex.join(words)}\nended with {code}: {said.out[-500:]}{said.err}"
    return None


@pytest.mark.slow
def test_every_command_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BENCH_HOME")  # pages name ./bench-store
    monkeypatch.setattr(memory_table, "cards", lambda *_: [])  # an estimate for SD 1.5 takes half a minute
    monkeypatch.setattr(card_estimate, "plans_in_child", lambda *_: [MemoryPlan(1, False, peak_bytes=1)])
    failed: list[str] = []
    done: set[str] = set()
    with reference(lambda images, prompts, metadata: [0.5 for _ in images], name="judge") as address:
        world = World(tmp_path, address)
        for shown in documented.in_blocks():
            try:
                run(shown, world, capsys, done)
            except (Exception, SystemExit) as error:
                failed.append(f"{shown.page}: {shown.line}\n    {type(error).__name__}: {error}")
    assert not failed, "\n".join([f"{len(failed)} commands", *failed])
    explained = {re.sub("`", "", row[0]) for row in methods.metric_rows()}
    logged = {key for file in world.store.rglob("metrics.jsonl") for line in file.open() for key in json.loads(line)}
    assert logged - explained - {"checksum"} == set(), "docs/metrics.md explains every metric"
    page = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
    exec(next(body for language, body in documented.BLOCK.findall(page) if "pd.read_parquet" in body), {})
    assert "shapes-colour" in capsys.readouterr().out


def test_code_in_sentences_names_commands_and_options_that_exist() -> None:
    wrong = []
    for shown in documented.in_sentences():
        words = shown.line.split()[1:]
        used = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)} - {"--help", "--version"}
        unknown = sorted(used - options_of(words)) if words[0] in COMMANDS else words[:1]
        if unknown and words[0] not in ("COMMAND", "--version", "--help"):
            wrong.append(f"{shown.page}: {shown.line}: {unknown}")
    assert wrong == []


def test_commands_stand_in_blocks_that_the_test_reads() -> None:
    assert documented.misplaced() == []


@pytest.mark.long
@pytest.mark.usefixtures("forked_jobs")
def test_a_documented_table_is_made_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first table of the pages, with one training of two images and two prompts; it prints what its files hold."""
    prompts = tmp_path / "my-prompts.txt"
    prompts.write_text("a red circle\na blue square\n")
    found = spec.load("tailorpo:2")
    blocks = [spec.Block(prompts=str(prompts), images=2, published="animals")]
    small = found.tracks["shapes"].model_copy(update={"quick_blocks": blocks, "train_prompts": str(prompts)})
    tracks = {**found.tracks, "shapes": small}
    monkeypatch.setattr(reproduce, "load", lambda table: found.model_copy(update={"tracks": tracks}))
    line = "bench reproduce tailorpo:2 --track shapes --quick"
    assert any(shown.line.startswith(line) for shown in documented.in_blocks())
    options = ["--samples", "2", "--rows", "tailorpo", "--set", "train.eval_every=0", "--jobs", "1"]
    assert main([*line.split()[1:], *options, "--store", str(tmp_path / "store")]) == 0
    said = capsys.readouterr().out
    [page] = tmp_path.glob("store/reports/*/report-QUICK.html")
    assert f"report: {page}" in said and "QUICK, not a result: Means over 2 prompts" in said
    [done] = tmp_path.glob("store/runs/*/done.json")
    assert json.loads(done.read_text())["samples"] == 2
    with (page.parent / "tailorpo-2-training-QUICK.csv").open() as file:
        rows = {row["row"]: row for row in csv.DictReader(file) if row["column"] == "shapes-colour"}
    assert set(rows) == {"base", "tailorpo"}
    printed = re.findall(r"(?m)^(base|tailorpo) +(\S+) \[", said)
    assert [name for name, _ in printed] == ["base", "tailorpo"]
    assert all(float(value) == pytest.approx(float(rows[name]["value"]), rel=1e-3) for name, value in printed)
