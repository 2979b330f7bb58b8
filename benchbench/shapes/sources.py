"""Pictures of scenes as the sources of edits."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from PIL import Image

from benchbench.prompt_set import Source
from benchbench.shapes.drawing import draw
from benchbench.shapes.edits import scene_of
from benchbench.store.images import pixel_hash


def source_of(scene: Mapping[str, Any], name: str) -> Source:
    """Returns the picture of a scene's fields. Its hash is that of the pixels, and not that of a file."""
    pixels = draw(scene_of(scene))

    def png() -> bytes:
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "PNG")
        return data.getvalue()

    return Source(name, pixel_hash(pixels), png)
