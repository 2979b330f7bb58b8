"""A small study on disk whose pictures are plain colours: no model makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from benchbench.noise import Noise
from benchbench.study.design import Study
from benchbench.study.folder import write_study
from benchbench.study.pictures import add_picture, destroyed
from benchbench.study.sketch import sketch

EVIL = "<script>alert('x')</script> & \"q\"\x1b[31m"


def make_study(folder: Path, raters: int = 2, count: int = 3, images: int = 2, **changes: Any) -> Study:
    """Writes a study of ``sketch`` with ``count`` prompts and real pictures into a folder and returns it."""
    sketched = sketch(raters, count, images, arms=changes.pop("arms", 2), questions=changes.pop("questions", ("Q?",)))
    noise, pictures = Noise(0, "pictures"), []
    for number, picture in enumerate(sketched.pictures):
        colour = tuple(noise.integer(256, number, channel) for channel in range(3))
        image = Image.new("RGB", (32, 32), colour)
        pictures.append(picture.model_copy(update={"file": add_picture(folder, image), "sha256": f"{number:064d}"}))
    checks = [
        check.model_copy(update={"destroyed": add_picture(folder, destroyed(Image.new("RGB", (32, 32)), number))})
        for number, check in enumerate(sketched.checks)
    ]
    changed = {"name": folder.name, "simulated": False, "pictures": tuple(pictures), "checks": tuple(checks), **changes}
    study = sketched.model_copy(update=changed)
    write_study(folder, study)
    return study
