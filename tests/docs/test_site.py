"""The documentation site builds without a warning, loads nothing from the network, and says what it should."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchbench import registry
from benchbench.cli.commands import COMMANDS
from docs_build import methods
from docs_build.links import ROOT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    built = subprocess.run(
        words, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True
    )
    assert (built.returncode, built.stdout + built.stderr) == (0, "")
    return folder


def pages(site: Path) -> dict[str, str]:
    return {path.relative_to(site).as_posix(): path.read_text(encoding="utf-8") for path in site.rglob("*.html")}


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    """Scripts, styles, pictures and fonts are files of the site; a link that one clicks may lead anywhere."""
    tags = "script|link|img|iframe|source|video|audio|object|embed"
    loads = rf"<(?:{tags})\b[^>]*?(?:src|href|data)=[\"']?((?:https?:)?//[^\"' >]*)"
    found = {name: hits for name, page in pages(site).items() if (hits := re.findall(loads, page))}
    assert found == {}
    for style in site.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")) == []


def test_every_method_reward_and_command_has_its_place(site: Path) -> None:
    assert methods.missing() == []
    for name in COMMANDS:
        assert f"bench {name}" in (site / "cli" / f"{name}.html").read_text(encoding="utf-8")
    every = (site / "rewards" / "every.html").read_text(encoding="utf-8")
    ours = [name for name in registry.names("rewards") if registry.get("rewards", name).__module__.startswith("bench")]
    assert [name for name in ours if f"<code>{name}</code>" not in every] == []


def test_markdown_became_html(site: Path) -> None:
    """Lists, tables and links that Markdown did not see stand as text in a paragraph."""
    for name, page in pages(site).items():
        article = re.sub(
            r"(?s)<pre.*?</pre>|<code.*?</code>", "", (re.findall(r"(?s)<article.*?</article>", page) or [""])[0]
        )
        wrong = [
            text[:80] for text in re.findall(r"(?s)<p>(.*?)</p>", article) if re.search(r"\n(- |\d+\. |\| )|\]\(", text)
        ]
        assert wrong == [], name
        assert "\\|" not in page, name


def test_search_finds_methods_options_and_names(site: Path) -> None:
    """Opened from a folder, the page reads the index as a script, and its own script stands for the worker."""
    assert (site / "search" / "search_index.js").is_file()
    assert 'src="iframe-worker.js"' in (site / "index.html").read_text(encoding="utf-8")
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"] for entry in index["docs"] if "keep_every" in entry["text"]}
    assert any(place.startswith("methods/") for place in found)
    assert {"cli/eval.html", "python/plugins.html"} <= {entry["location"].partition("#")[0] for entry in index["docs"]}
