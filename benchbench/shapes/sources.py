"""Pictures of scenes as the sources of edits, and as edits that are perfect."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from benchbench.prompt_set import Prompt, Source, metadata
from benchbench.shapes.captions import stated_attributes
from benchbench.shapes.drawing import draw
from benchbench.shapes.edits import scene_of
from benchbench.store.images import pixel_hash


def perfect_edits(prompts: Sequence[str]) -> tuple[Prompt, ...]:
    """Returns the prompts of edits of scenes, each with the picture of its target in place of the source.

    The target differs from the source's scene in the edited attribute and in no trait. Errors: KeyError for a prompt
    without a scene.
    """
    made = []
    for number, (prompt, row) in enumerate(zip(prompts, metadata(prompts), strict=True), start=1):
        value = stated_attributes(prompt)[row["attribute"]]
        target = source_of({**row["scene"], row["attribute"]: value}, f"target {number}")
        made.append(Prompt(prompt, row, target))
    return tuple(made)


def source_of(scene: Mapping[str, Any], name: str) -> Source:
    """Returns the picture of a scene's fields. Its hash is that of the pixels, and not that of a file."""
    pixels = draw(scene_of(scene))

    def png() -> bytes:
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        return data.getvalue()

    return Source(name, pixel_hash(pixels), png)
