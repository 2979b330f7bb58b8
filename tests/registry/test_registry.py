"""Names, suggestions, and plug-ins: good, broken, and taking a built-in's name."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchbench import prompts, registry
from benchbench.api import Method, Reward
from benchbench.cli import doctor_checks
from benchbench.cli.main import main
from benchbench.errors import UsageError
from benchbench.registry import entries
from benchbench.registry.entries import declared_names, nameless
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


def test_a_built_in_is_named_as_its_file() -> None:
    """One file a method or reward; what Python does not allow in a module's name is ``_`` there."""
    for kind, name in BUILT_IN:
        assert registry.get(kind, name).__module__.rpartition(".")[2] == re.sub(r"[-.]", "_", name)
    assert nameless("methods") == nameless("rewards") == []


def test_a_file_in_the_folder_is_all_it_takes(tmp_path: Path) -> None:
    texts = {
        "plain.py": "class Plain(Reward):\n    name = 'plain'\n",
        "typed.py": 'class Typed(Reward):\n    name: ClassVar[str] = "typed-2.1"\n    unit = "name = 3"\n',
        "silent.py": "SIDE = 32\n",
        "two.py": "class A:\n    name = 'a'\n\n\nclass B:\n    name = 'b'\n",
        "_shared.py": "class Shared:\n    name = 'shared'\n",
    }
    for file, text in texts.items():
        (tmp_path / file).write_text(text)
    assert declared_names(tmp_path) == {"plain": ["plain"], "silent": [], "two": ["a", "b"], "typed": ["typed-2.1"]}


def test_a_file_that_does_not_say_one_name_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entries, "declared_names", lambda folder: {"silent": [], "two": ["a", "b"]})
    assert registry.names("rewards") == []
    [silent, two, *_] = registry.broken()
    assert silent[1] == "silent.py" and "has 0" in silent[2]
    assert two[1] == "two.py" and "has 2" in two[2]


REWARD = """
import torch
from benchbench.api import Reward

class Bright(Reward):
    name, version, unit, range, differentiable, weights = "bright", "1", "%", (0.0, 1.0), False, "none"

    def score(self, images, prompts):
        return torch.zeros(len(images))
"""


def bright(site: Path, package: str, name: str = "bright") -> None:
    write_plugin(site, package, {"reward.py": REWARD}, {"benchbench.rewards": {name: f"{package}.reward:Bright"}})


def test_a_class_of_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are filed by the class's name, so one name could stand for two rewards."""
    bright(tmp_path, "one_plug", name="dark")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="the reward 'dark' calls itself 'bright'") as error:
        registry.get("rewards", "dark")
    assert "one_plug (one_plug.reward:Bright)" in error.value.cause and "rename" in error.value.remedy
    assert [name for _, name, _ in registry.broken()] == ["dark"]


def test_a_name_of_two_packages_is_refused_and_both_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bright(tmp_path, "one_plug")
    bright(tmp_path, "two_plug")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.names("rewards").count("bright") == 1
    assert registry.summary("rewards", "bright").startswith("refused, since 2 packages have this name: one_plug (")
    for ask in (registry.get, registry.require):
        with pytest.raises(UsageError, match="2 packages have the reward 'bright'") as error:
            ask("rewards", "bright")
        assert "one_plug (" in error.value.cause and "two_plug (" in error.value.cause
    assert [name for _, name, _ in registry.broken()] == ["bright"]
    assert main(["list", "rewards"]) == 0  # the others can be listed and used


def test_the_doctor_lists_what_a_built_in_shadows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = {
        "benchbench.methods": {"ddpo": "one_plug.method:DDPO"},
        "benchbench.prompts": {"animals": "one_plug.words:animals"},
    }
    assert registry.shadowed() == [] and doctor_checks.unused_plugins() == []
    write_plugin(tmp_path, "one_plug", {}, groups)
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.shadowed() == [("methods", "ddpo", "one_plug (one_plug.method:DDPO)")]
    assert [row[:2] for row in doctor_checks.unused_plugins()] == [("method", "ddpo"), ("prompt set", "animals")]


def test_what_an_earlier_version_lists_of_itself_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(tmp_path, "benchbench", {}, {"benchbench.methods": {"old": "benchbench.methods.old:Old"}})
    monkeypatch.syspath_prepend(tmp_path)
    assert "old" not in registry.names("methods") and registry.shadowed() == []


def test_a_plugin_that_ends_the_process_is_only_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = {"reward.py": "import sys\nsys.exit('bye')\n"}
    write_plugin(tmp_path, "quitter", code, {"benchbench.rewards": {"quit": "quitter.reward:Quit"}})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="SystemExit: bye"):
        registry.get("rewards", "quit")
    for words in (["list", "rewards"], ["doctor"]):
        assert main(words) == 0
        assert "SystemExit: bye" in capsys.readouterr().out
    assert main(["show", "reward", "quit"]) == UsageError.code
    assert "'quit' does not load" in capsys.readouterr().err


def test_a_prompt_set_of_another_name_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
from benchbench.api import PromptSet

def words():
    return PromptSet("other", ("sun",), origin="here", licence="CC0")

def nothing():
    return ["sun"]
"""
    names = {"words": "word_plug.words:words", "nothing": "word_plug.words:nothing"}
    write_plugin(tmp_path, "word_plug", {"words.py": code}, {"benchbench.prompts": names})
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="it is named 'other'"):
        prompts.load("words")
    with pytest.raises(UsageError, match="it is a list"):
        prompts.load("nothing")


@pytest.mark.parametrize(
    ("text", "first_line"),
    [
        ('"""What it does."""\n', "What it does."),
        ("'''What it does.\n\nMore.\n'''\n", "What it does."),
        ('# A licence.\n\n"""\nWhat it does.\nMore."""', "What it does."),
        ('r"What it does."\nx = 1', "What it does."),
        ('x = 1\n"""Not a docstring."""', ""),
        ("", ""),
    ],
)
def test_the_summary_is_the_first_line_of_the_file_s_docstring(
    text: str, first_line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_plugin(tmp_path, "doc_plug", {"reward.py": text}, {"benchbench.rewards": {"doc": "doc_plug.reward:Doc"}})
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.summary("rewards", "doc") == first_line


def test_all_rewards_are_those_present(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup.get("shapes-clip"), "missing", classmethod(lambda cls: "no weights"))
    present, skipped = lookup.present()
    assert "shapes-colour" in present
    assert skipped["shapes-clip"] == "no weights"
    assert set(present) | set(skipped) == set(registry.names("rewards"))


def test_a_class_without_a_needed_attribute_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A default in a base class counts as set."""
    code = (
        REWARD.replace("differentiable, ", "").replace(", False", "")
        + """
class Base(Reward):
    version, unit, range, differentiable, weights = "1", "%", (0.0, 1.0), False, "none"

class Derived(Base):
    name = "derived"

    def score(self, images, prompts):
        return torch.zeros(len(images))
"""
    )
    method = "from benchbench.api import Method\n\nclass Plain(Method):\n    name = 'plain'\n"
    groups = {
        "benchbench.rewards": {"bright": "lax.reward:Bright", "derived": "lax.reward:Derived"},
        "benchbench.methods": {"plain": "lax.method:Plain"},
    }
    monkeypatch.syspath_prepend(write_plugin(tmp_path, "lax", {"reward.py": code, "method.py": method}, groups))
    assert lookup.get("derived").unit == "%"
    for kind, name, lacking in (("rewards", "bright", "differentiable"), ("methods", "plain", "paper, Config")):
        with pytest.raises(UsageError, match=f"'{name}' lacks {lacking}") as error:
            registry.get(kind, name)  # type: ignore[arg-type]
        assert f"bench check {name}" in error.value.remedy
    assert main(["list", "rewards"]) == 0


def test_a_file_of_ours_that_does_not_load_is_to_be_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = entries.Entry("gone", "benchbench.methods.gone", "", "benchbench")
    monkeypatch.setattr(registry, "built_in", lambda kind: [gone])
    with pytest.raises(UsageError, match="No module named") as error:
        registry.get("methods", "gone")
    assert error.value.remedy.startswith("repair methods/gone.py; ")


WORDS = """
import sys
from benchbench.api import Prompt, PromptSet

def given(name, prompts):
    return lambda: PromptSet(name, prompts, "here", "CC0")

number, text, none, blank = given("number", ("sun", 3)), given("text", "sun"), given("none", ()), given("blank", (" ",))
twice, unread = given("twice", ("sun", "rain", "sun")), given("unread", None)
odd = given("odd", ("sun", Prompt("rain", {"drops": {1, 2}})))

def fails():
    return 1 / 0

def leaves():
    sys.exit(1)

some = PromptSet("some", ("sun",), "here", "CC0")
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("number", "prompt 2 is 3, a int and not a string"),
        ("text", "its prompts are a str"),
        ("unread", "its prompts are a NoneType"),
        ("none", "it has no prompts"),
        ("blank", "prompt 1 is empty"),
        ("twice", "prompts 1 and 3 are the same: 'sun'"),
        ("odd", "the metadata of prompt 2 cannot be written as JSON"),
        ("fails", "ZeroDivisionError: division by zero ("),
        ("leaves", "SystemExit: 1 ("),
        ("some", "it is a PromptSet, and no function"),
    ],
)
def test_a_prompt_set_that_cannot_be_used_is_refused(
    name: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(
        write_plugin(
            tmp_path, f"words_{name}", {"words.py": WORDS}, {"benchbench.prompts": {name: f"words_{name}.words:{name}"}}
        )
    )
    with pytest.raises(UsageError) as error:
        prompts.load(name)
    assert said in error.value.cause and f"bench check {name}" in error.value.remedy
    assert [row[:2] for row in doctor_checks.plugins()] == [("prompt set", name)]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("version = 2", "version is 2 and no text"),
        ("version = ' '", "version is ' ' and no text"),
        ("unit = None", "unit is None and no text"),
        ("range = (1.0, 0.0)", "range is (1.0, 0.0) and no pair"),
        ("range = (0.0, float('inf'))", "range is (0.0, inf) and no pair"),
        ("differentiable = 'no'", "differentiable is 'no', neither True nor False"),
        ("trainable = 1", "trainable is 1, neither True nor False"),
        ("needs = 'tag'", "needs is 'tag' and no tuple of names"),
        ("needs = (1,)", "needs is (1,) and no tuple of names"),
    ],
)
def test_class_attributes_of_a_wrong_type_are_refused(
    line: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = REWARD.replace("    def score", f"    {line}\n\n    def score")
    package = f"odd_{abs(hash(line))}"
    groups = {"benchbench.rewards": {"bright": f"{package}.reward:Bright"}}
    monkeypatch.syspath_prepend(write_plugin(tmp_path, package, {"reward.py": text}, groups))
    with pytest.raises(UsageError, match="has wrong class attributes") as error:
        registry.get("rewards", "bright")
    assert said in error.value.cause and "bench check bright" in error.value.remedy


def test_what_is_no_class_of_its_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "class Plain:\n    name = 'plain'\n\ndef function():\n    return 0\n"
    names = {"plain": "loose.reward:Plain", "function": "loose.reward:function"}
    groups = {"benchbench.rewards": names, "benchbench.methods": names}
    monkeypatch.syspath_prepend(write_plugin(tmp_path, "loose", {"reward.py": code}, groups))
    for kind, base in (("rewards", "Reward"), ("methods", "Method")):
        for name in names:
            with pytest.raises(UsageError, match="cannot be used") as error:
                registry.get(kind, name)  # type: ignore[arg-type]
            assert f"no subclass of benchbench.api.{base}" in error.value.cause


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("Config = dict", "Config is <class 'dict'> and no subclass"),
        ("Config = MethodConfig()", "Config is MethodConfig()"),
        ("Config, data = MethodConfig, 'both'", "data is 'both', neither 'online' nor 'offline'"),
        ("Config, paper = MethodConfig, ''", "paper is '' and no text"),
    ],
)
def test_class_attributes_of_a_method_are_looked_at_too(
    lines: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from benchbench.api import Method, MethodConfig\n\nclass Plain(Method):\n    name, paper = 'plain', 'none'\n"
    )
    package = f"odd_{abs(hash(lines))}"
    groups = {"benchbench.methods": {"plain": f"{package}.method:Plain"}}
    files = {"method.py": f"{code}    {lines}\n"}
    monkeypatch.syspath_prepend(write_plugin(tmp_path, package, files, groups))
    with pytest.raises(UsageError, match="has wrong class attributes") as error:
        registry.get("methods", "plain")
    assert said in error.value.cause
