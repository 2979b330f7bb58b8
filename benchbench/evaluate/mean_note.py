"""The note beside a bar of scores: their mean so far."""

from __future__ import annotations

from collections.abc import Sequence


class MeanNote:
    """A mean that grows with every batch, from the scores that were there before."""

    def __init__(self, name: str, known: Sequence[float]) -> None:
        self._name, self._sum, self._count = name, float(sum(known)), len(known)

    def after(self, scores: Sequence[float]) -> str:
        """Returns the note once these scores are there, too."""
        self._sum, self._count = self._sum + sum(scores), self._count + len(scores)
        return f"mean {self._name} {self._sum / self._count:.3g}"
