"""Links between the Markdown files of the repository lead to files and headings that exist; the README stays short."""

from __future__ import annotations

import posixpath
import re

import pytest

from benchbench.protocols import WHERE
from docs_build.links import CODE, LINK, ROOT

FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("*.md", "docs/**/*.md", "methods/*.md", "reward_models/*.md", "results/*/README.md")
    for path in ROOT.glob(pattern)
)


def headings(file: str) -> set[str]:
    """Returns the anchors that GitHub and the site give a file's headings."""
    text = re.sub(r"(?ms)^```.*?^```", "", (ROOT / file).read_text(encoding="utf-8"))
    titles = re.findall(r"(?m)^#+ (.*)$", text)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("file", FILES)
def test_links_lead_somewhere(file: str) -> None:
    text = CODE.sub("", (ROOT / file).read_text(encoding="utf-8"))
    wrong = []
    for _, _, target in LINK.findall(text):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            wrong.append(target)  # the documentation needs no network
        to = posixpath.normpath(posixpath.join(posixpath.dirname(file), path)) if path else file
        if not (ROOT / to).exists() or (anchor and anchor not in headings(to)):
            wrong.append(target)
    assert wrong == []


def test_the_page_of_protocols_has_every_one() -> None:
    page = (ROOT / "docs" / "protocols.md").read_text(encoding="utf-8")
    assert [name for name in WHERE if f"| `{name}` |" not in page] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 80
