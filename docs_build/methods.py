"""A page for each section of methods/README.md: text, settings, metrics, and results beside the paper's."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from benchbench import config, presets, registry
from benchbench.samplers import SamplerConfig
from docs_build import published, text
from docs_build.links import ROOT

SOURCE = "methods/README.md"
NAMES = re.compile(r"`([\w-]+)`")


@functools.cache
def _sections() -> list[tuple[str, str]]:
    return text.sections((ROOT / SOURCE).read_text(encoding="utf-8"))


def names(heading: str) -> list[str]:
    """Returns the methods that a heading names, as ``TailorPO, TailorPO-G (`tailorpo`, `tailorpo-g`)``."""
    return NAMES.findall(heading)


def titles() -> dict[str, str]:
    """Returns the title of each method's page by its path in the site, in the order of the README."""
    return {f"methods/{names(head)[0]}.md": head.split(" (`")[0] for head, _ in _sections() if names(head)}


def shared() -> str:
    """Returns the page that all methods share: the README without their own sections, and the common settings."""
    (_, start), *rest = _sections()
    listed = "\n".join(f"- [{title}]({path.removeprefix('methods/')})" for path, title in titles().items())
    kept = [f"## {head}\n{body}" for head, body in rest if not names(head)]
    common = _settings({"train": config.TrainConfig, "sampler": SamplerConfig}, [])
    return (
        f"{start.rstrip()}\n\nEach method has a page:\n\n{listed}\n\n"
        + "".join(kept)
        + f"\n## Settings that all methods share\n\n`bench train --set KEY=VALUE` changes them.\n\n{common}"
    )


def pages() -> dict[str, str]:
    """Returns the Markdown of each method's page by its path in the site; links are relative to methods/."""
    return {f"methods/{names(head)[0]}.md": _page(head, body) for head, body in _sections() if names(head)}


def missing() -> list[str]:
    """Returns the built-in methods without a section in the README."""
    return sorted(set(_built_in()) - {name for head, _ in _sections() for name in names(head)})


def _built_in() -> list[str]:
    return [name for name in registry.names("methods") if registry.get("methods", name).__module__.startswith("bench")]


def _page(head: str, body: str) -> str:
    """Returns one page; what the README says under its own headings keeps them, one level up."""
    named = names(head)
    first, *rest = text.sections(body, 3)
    settings = {
        "method": registry.get("methods", named[-1]).Config,
    }
    parts = [f"# {head.split(' (`')[0]}", first[1].strip(), "## Run it", _commands(named)]
    for title, words in rest:
        parts += [f"## {title}", words.strip()]
        if title == "Metrics":
            parts += _metrics(named)
    if not any(title == "Metrics" for title, _ in rest):
        parts += ["## Metrics", *_metrics(named)]
    parts += ["## Settings", _settings(settings, named), _presets(named)]
    results = published.results(named)
    if results:
        parts += ["## Results on shapes beside the paper's", results]
    return "\n\n".join(part for part in parts if part) + "\n"


def _commands(named: Sequence[str]) -> str:
    """Returns the commands that train on shapes and on Stable Diffusion 1.5."""
    offline = registry.get("methods", named[0]).data == "offline"
    lines = [f"bench train --method {name} --model shapes" for name in named]
    more = "--pairs pickapic_v2" if offline else "--reward aesthetic --prompts animals"
    if named[0] == "spo":
        more = "--prompts spo-4k"
    lines += [f"bench train --method {name} --model sd15 {more} --dry-run" for name in named]
    return (
        f"```bash\n{chr(10).join(lines)}\n```\n\nThe first trains on the shapes world: it takes a few "
        + "minutes on a CPU, and downloads nothing. "
        + "The other says what the training would take with Stable Diffusion 1.5; leave out `--dry-run` to start it. "
        + "[A GPU and SD 1.5](../docs/tutorials/gpu-sd15.md) says what must be downloaded before."
    )


def _metrics(named: Sequence[str]) -> list[str]:
    """Returns the rows of docs/metrics.md that are for one of these methods and not for all."""
    own = [[metric, meaning] for metric, by, meaning in metric_rows() if set(named) & set(by.split(", "))]
    return [
        text.table(["metric", "meaning"], own),
        'Every method also logs the metrics that are marked with "all" in [Logged metrics](../docs/metrics.md).',
    ]


def metric_rows() -> list[list[str]]:
    """Returns the rows of docs/metrics.md: the metric, the methods that log it, and its meaning."""
    lines = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]


def _settings(models: Mapping[str, type[BaseModel]], named: Sequence[str]) -> str:
    """Returns a table of settings with their defaults and, of methods, what their presets set."""
    columns = [(name, preset) for name in named for preset in presets.all_presets(name) or {}]
    heads = [preset if len(named) == 1 else f"{name}: {preset}" for name, preset in columns]
    rows = []
    for section, model in models.items():
        for key, field in model.model_fields.items():
            setting = f"{section}.{key}"
            values = [presets.preset_values(name, preset).get(setting, {}) for name, preset in columns]
            shown = [f"`{value['value']}`" if "value" in value else "" for value in values]
            default = field.get_default(call_default_factory=True)
            rows.append([f"`{setting}`", f"`{default}`", *shown, text.escape(field.description or "")])
    return text.table(["setting", "default", *heads, "meaning and origin"], rows)


def _presets(named: Sequence[str]) -> str:
    """Returns what the presets set besides the method's own settings, and what they do otherwise than paper or code."""
    lines = []
    for name in named:
        for preset in presets.all_presets(name) or {}:
            values = presets.preset_values(name, preset)
            others = [
                f"`{key}={entry['value']}` ({text.escape(entry['origin'])})"
                for key, entry in values.items()
                if not key.startswith("method.")
            ]
            lines += [f"**`{name}`, preset `{preset}`** also sets " + "; ".join(others) + "." if others else ""]
            otherwise = presets.deviations(name, preset)
            if otherwise:
                lines += ["Where it differs from the paper or the code it is named after:"]
                lines += ["\n".join(f"- {text.escape(line)}" for line in otherwise)]
    return "\n\n".join(line for line in lines if line)
