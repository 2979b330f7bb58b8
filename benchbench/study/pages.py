"""The pages of a study as HTML. Every text is escaped, and no page holds a script or a style of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from benchbench.runtime.printable import printable
from benchbench.study.design import Study
from benchbench.study.progress import Row
from benchbench.study.vote_store import Place

STATIC = Path(__file__).parent / "static"
WORDS = {"left": "Left", "right": "Right", "draw": "Draw", "bad": "Both bad"}
KEYS = {"left": "←", "right": "→", "draw": "↓", "bad": "↑"}


class Pages:
    """Renders the pages of one study. ``small`` says that its pictures are enlarged without smoothing."""

    def __init__(self, study: Study, small: bool) -> None:
        self.study, self.small = study, small
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("benchbench.study", "templates"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        self._templates.filters["shown"] = lambda text: printable(text, keep="\n\t")

    def consent(self, token: str) -> str:
        """Returns the page before the first pair, with the text that a rater agrees to."""
        return self._render("consent", token=token, questions=self.study.questions)

    def join(self, token: str) -> str:
        """Returns the page at which somebody with the common link takes a place."""
        return self._render("join", token=token)

    def question(self, token: str, slot: int, place: Place) -> str:
        """Returns the page with one question about two pictures."""
        pages, questions = self.study.assignment[slot], len(self.study.questions)
        item = pages[place.position]
        number = place.position * questions + place.question
        return self._render(
            "question",
            token=token,
            place=place,
            prompt=self.study.prompt(item),
            text=self.study.questions[place.question],
            files=self.study.files(item),
            buttons=[(answer, WORDS[answer], KEYS[answer]) for answer in self.study.buttons],
            small=self.small,
            done=number,
            total=len(pages) * questions,
            before=Place(*divmod(number - 1, questions)) if number else None,
        )

    def finished(self, completion: str) -> str:
        """Returns the page after the last vote, with the completion code."""
        return self._render("finished", completion=completion)

    def admin(self, rows: list[Row]) -> str:
        """Returns the page with the progress of all raters."""
        return self._render("admin", rows=rows, study=self.study)

    def message(self, title: str, text: str) -> str:
        """Returns a page that says what is wrong."""
        return self._render("message", title=title, text=text)

    def _render(self, name: str, **values: Any) -> str:
        return self._templates.get_template(f"{name}.html.j2").render(**values, consent_text=self.study.consent)
