"""Hooks of mkdocs: they add the pages that are made from code and READMEs, and mend links."""

from __future__ import annotations

import functools
import re
from typing import Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File

from docs_build import commands, methods, published, python_names, rewards, text
from docs_build.links import ROOT, rewrite

log = get_plugin_logger("docs_build")

INCLUDED = {
    "rewards/index.md": "reward_models/README.md",
    "results/shapes.md": "results/shapes/README.md",
    "results/gpu.md": "results/gpu/README.md",
    "results/published.md": "results/published/README.md",
    "results/speed.md": "results/speed/README.md",
    "results/statistics.md": "results/statistics/README.md",
    "results/studies.md": "results/studies/README.md",
    "shapes-package.md": "benchbench/shapes/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "security.md": "SECURITY.md",
}
"""Files of the repository that are pages of the site as they are, by the page's path."""

PYTHON = {
    "python/index.md": (
        "benchbench",
        "Python",
        "`import benchbench as bb` gives the names on this page. They take the same words as the command line.",
    ),
    "python/plugins.md": (
        "benchbench.api",
        "For plug-ins",
        "A method, a reward or a prompt set imports these names from `benchbench.api`, and nothing else of benchbench. "
        "[Your own method](../docs/tutorials/own-method.md) shows them in use.",
    ),
}
"""The module, title and first words of each page of the Python reference."""


@functools.cache
def made() -> dict[str, tuple[str, str]]:
    """Returns the Markdown of each page that is made from code, and the file that its links are relative to."""
    pages = {path: (page, methods.SOURCE) for path, page in methods.pages().items()}
    pages["methods/index.md"] = (methods.shared(), methods.SOURCE)
    pages["rewards/every.md"] = (rewards.page(), "reward_models/README.md")
    pages["cli/index.md"] = (commands.index(), "docs/cli/index.md")
    pages |= {path: (page, f"docs/{path}") for path, page in commands.pages().items()}
    for path, (module, title, start) in PYTHON.items():
        if python_names.exported(module):
            pages[path] = (python_names.page(module, title, start), "methods/README.md")
    for path, source in INCLUDED.items():
        pages[path] = ((ROOT / source).read_text(encoding="utf-8"), source)
    return pages


def on_config(config: Any) -> Any:
    """Puts pages into the navigation that mkdocs.yml does not list: of methods, commands, Python, and other guides."""
    for name in methods.missing():
        log.warning("%s has no section in methods/README.md", name)
    python = [{title: path} for path, (module, title, _) in PYTHON.items() if python_names.exported(module)]
    listed = set(re.findall(r"[\w/-]+\.md", str(config.nav)))
    others = [path.relative_to(ROOT / "docs").as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))]
    found: dict[str, list[Any]] = {
        "Guides": [path for path in others if path not in listed],
        "Methods": [{title: path} for path, title in methods.titles().items()],
        "Command line": [{title: path} for path, title in commands.titles().items()],
        "Python": python,
    }
    for entry in config.nav:
        for title, pages in entry.items():
            entry[title] = [*pages, *found.pop(title, [])] if isinstance(pages, list) else pages
    if found:
        log.warning("the navigation of mkdocs.yml lacks %s", ", ".join(found))
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that are made, and the curves on the methods' pages."""
    for path, (page, _) in made().items():
        files.append(File.generated(config, path, content=page))
    for head, _ in text.sections((ROOT / methods.SOURCE).read_text(encoding="utf-8")):
        named = methods.names(head)
        if named and published.curve_of(named):
            files.append(File.generated(config, published.picture(named), content=published.draw(named)))
    return files


def on_page_markdown(markdown: str, page: Any, files: Any, **_: Any) -> str:
    """Makes links lead to pages of the site; a link to no file is a warning, which ends the build."""
    path = page.file.src_uri
    source = made()[path][1] if path in made() else f"docs/{path}"
    pages = {f"docs/{file.src_uri}": file.src_uri for file in files}
    pages |= {source: path for path, source in INCLUDED.items()}
    pages |= {methods.SOURCE: "methods/index.md", "README.md": "index.md"}
    return rewrite(markdown, source, path, pages, log.warning)
