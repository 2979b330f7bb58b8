"""Names, suggestions, and plug-ins: good, broken, and taking a built-in's name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from benchbench import registry
from benchbench.api import Method, Reward
from benchbench.errors import UsageError
from benchbench.rewards import lookup
from tests.registry.plugin import write_plugin

BUILT_IN = [(kind, name) for kind in ("methods", "rewards") for name in registry.names(kind)]


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_built_ins_load_and_answer_to_their_name(kind: registry.Kind, name: str) -> None:
    found = registry.get(kind, name)
    assert issubclass(found, Method if kind == "methods" else Reward)
    assert found.name == name
    assert registry.summary(kind, name)


def test_nothing_built_in_is_broken() -> None:
    assert registry.broken() == []


@pytest.mark.parametrize(
    ("kind", "wrong", "meant"),
    [
        ("methods", "tailropo", "tailorpo"),
        ("methods", "tailorpo_g", "tailorpo-g"),
        ("methods", "DDPO", "ddpo"),
        ("rewards", "shapes-color", "shapes-colour"),
        ("rewards", "jpeg", "jpeg_compressibility"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(kind: registry.Kind, wrong: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean .*{meant}"):
        registry.get(kind, wrong)


@pytest.mark.parametrize(("name", "versions"), [("hpsv2", "hpsv2.0 or hpsv2.1"), ("clip", "clip_h14 or clip_l14")])
def test_a_name_of_two_versions_is_asked_back(name: str, versions: str) -> None:
    with pytest.raises(UsageError, match=f"which one: {versions}"):
        lookup.get(name)


def test_on_shapes_a_reward_is_the_worlds_own_and_says_so() -> None:
    name, note = lookup.resolve("aesthetic", "shapes")
    assert name == "shapes-aesthetic"
    assert note is not None and "aesthetic" in note
    assert lookup.resolve("shapes-colour", "shapes") == ("shapes-colour", None)
    assert lookup.resolve("clip", "shapes")[0] == "shapes-clip"
    assert lookup.resolve("jpeg_compressibility", "sd15") == ("jpeg_compressibility", None)


def test_names_and_summaries_import_no_plugin_and_no_torch(tmp_path: Path) -> None:
    boom = "'''What it does.\n\nMore.'''\nraise SystemExit('imported')\n"
    write_plugin(tmp_path, "boom", {"reward.py": boom}, {"benchbench.rewards": {"boom": "boom.reward:Boom"}})
    code = (
        "import sys; from benchbench import registry as r; "
        "assert 'boom' in r.names('rewards'); assert r.summary('rewards', 'boom') == 'What it does.'; "
        "[r.summary(k, n) for k in r.GROUPS for n in r.names(k)]; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"], check=True)


def test_a_broken_plugin_harms_nobody_and_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = {"broken-one": "broken_plug.method:Missing", "ddpo": "broken_plug.method:Missing"}
    write_plugin(tmp_path, "broken_plug", {"method.py": "import no_such_library\n"}, {"benchbench.methods": entries})
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.get("methods", "ddpo").__module__ == "benchbench.methods.ddpo"  # a built-in's name is its own
    with pytest.raises(UsageError, match="no_such_library"):
        registry.get("methods", "broken-one")
    [(kind, name, error)] = registry.broken()
    assert (kind, name) == ("methods", "broken-one")
    assert "no_such_library" in error


def test_a_source_tree_that_is_not_installed_knows_the_built_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {kind: sorted(registry.names(kind)) for kind in registry.GROUPS}

    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(registry, "distribution", absent)
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    assert {kind: sorted(registry.names(kind)) for kind in registry.GROUPS} == {
        k: sorted(v) for k, v in installed.items()
    }


def test_all_rewards_are_those_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup.get("shapes-clip"), "missing", classmethod(lambda cls: "no weights"))
    present, skipped = lookup.present()
    assert "shapes-colour" in present
    assert skipped["shapes-clip"] == "no weights"
    assert set(present) | set(skipped) == set(registry.names("rewards"))
