"""The folder in which the documented commands run: two methods with three tiny trainings each, and what pages name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from PIL import Image

from benchbench.cli.main import main
from benchbench.hub.weights import ADAPTER
from docs_build.links import ROOT

TRAIN = ["--samples", "2", "--set", "train.batch=1", "train.keep_every=1", "train.eval_every=0"]
EDIT = {
    "image": "picture.png",
    "prompt": "a small cyan circle on the left on a blue background",
    "attribute": "colour",
    "source": "a small red circle on the left on a blue background",
    "instruction": "make the circle cyan",
}

PRESET = """method: tailorpo
model: shapes
reward: shapes-colour
preset:
  train.lr: {value: 0.004, origin: "written by the test of the documented commands"}
record:
  rule: written by the test of the documented commands
"""


class World:
    """The files and runs that stand for the placeholders of the pages. The working folder is ``folder``."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.store, self.address = folder, folder / "bench-store", address
        self.prompts, self.pictures = str(folder / "my-prompts.txt"), folder / "pictures"
        Path(self.prompts).write_text("a red circle\na blue square\n")
        (folder / "FILE.jsonl").write_text('{"prompt": "a red circle", "colour": "red"}\n' * 2)
        (folder / "PRESET.yaml").write_text(PRESET)
        for name in ("pictures", "my-edits"):
            (folder / name).mkdir()
        for name in ("pictures/0.png", "pictures/1.png", "my-edits/picture.png"):
            Image.new("RGB", (32, 32), "red").save(folder / name)
        (folder / "my-edits" / "edits.jsonl").write_text(json.dumps(EDIT) + "\n")
        (folder / "examples").symlink_to(ROOT / "examples")
        self.write_the_page_s_sweep()
        self.runs = {name: [self.train(name, seed) for seed in range(3)] for name in ("tailorpo", "d3po")}
        for name in ("model.safetensors", "my-lora.safetensors"):
            shutil.copy(self.store / "runs" / self.runs["d3po"][0] / ADAPTER, folder / name)

    def write_the_page_s_sweep(self) -> None:
        """Writes mine.yaml as the tutorial has it, with a method that is there."""
        page = (ROOT / "docs" / "tutorials" / "own-method.md").read_text(encoding="utf-8")
        text = page.partition("```yaml\n")[2].partition("```")[0]
        (self.folder / "mine.yaml").write_text(text.replace("reinforce", "ddpo"))

    def train(self, method: str, seed: int) -> str:
        """Trains a run and returns its folder's name."""
        before = set(self.store.glob("runs/*/"))
        words = ["train", "--method", method, "--model", "shapes", "--reward", "shapes-colour", "--seed", str(seed)]
        assert main([*words, *TRAIN]) == 0
        [run] = set(self.store.glob("runs/*/")) - before
        return run.name

    def filled(self, words: list[str]) -> list[str]:
        """Returns the words of a command with runs, files and the address of a server instead of placeholders."""
        (t0, t1, _), (d0, d1, _) = self.runs["tailorpo"], self.runs["d3po"]
        names = {
            "RUN_A,RUN_B": f"{t0},{t1}",
            "RUN_C,RUN_D": f"{d0},{d1}",
            "RUN_A": t0,
            "RUN_B": d0,
            "RUN": t0,
            "RUN@last": f"{t0}@last",
            "FILE": self.prompts,
            "STORE": str(self.store),
            "reinforce": "ddpo",  # the method that the tutorial writes; tests/registry trains it
            "warmth": "shapes-colour",  # the reward that a tutorial writes; tests/docs/test_own_reward.py tries it
            "NAME": "fig8",
        }
        filled = []
        for word in words:
            label, equals, value = word.partition("=")
            if equals and value.startswith("RUN,"):
                runs = self.runs["d3po" if label == "d3po" else "tailorpo"]
                word = f"{label}={','.join(runs[: value.count('RUN')])}"
            elif equals and value in names:
                word = f"{label}={names[value]}"
            for host in ("http://localhost:8000", "http://127.0.0.1:8000", "http://127.0.0.1:8001"):
                word = word.replace(host, self.address)
            filled.append(word if words[1] == "new" else names.get(word, word))
        if filled[1:3] in (["study", "results"], ["study", "export"]):
            filled[3] = self._study_with_votes(filled)
        if "FOLDER" in filled:
            place = filled.index("FOLDER")
            filled[place] = self._folder_of(filled)
        return filled

    def _study_with_votes(self, words: list[str]) -> str:
        """Returns a study like the one that a command names, in which simulated raters have voted."""
        name = words[3].removesuffix("-simulated")
        if "--votes" in words:  # a study of one row
            name = f"{name}-of-one"
            rest = ["--raters", "2", "--prompts", self.prompts, "--images-per-prompt", "2", "--shared-start"]
            if not (self.store / "studies" / name).exists():
                assert main(["study", "new", name, "--model", "shapes", "--row", "base", "--question", "?", *rest]) == 0
        simulated = f"{name}-simulated"
        if not (self.store / "studies" / simulated).exists():
            assert main(["study", "simulate", name, "--reward", "shapes-colour"]) == 0
        return simulated

    def _folder_of(self, words: list[str]) -> str:
        """Returns what FOLDER stands for in a command."""
        if words[1] == "power":
            return str(ROOT / "results" / "shapes" / "tailorpo-2-five-trainings")  # several trainings of a row
        if words[1] == "report":
            return str(sorted(self.store.glob("reports/*/"))[0])
        return "new-folder" if "export" in words else str(self.pictures)
