"""The type parameter of a method is its Config, so that a type checker sees the settings that the method reads."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from benchbench import registry
from benchbench.api import Method, MethodConfig, OfflineMethod


def parameter(cls: type[Method[Any]]) -> Any:
    """Returns the parameter in the bases of a class, or in those of the class that it extends; None without one."""
    bases = [
        base for c in cls.__mro__ if c not in (Method, OfflineMethod) for base in c.__dict__.get("__orig_bases__", ())
    ]
    return next((arguments[0] for base in bases if (arguments := get_args(base))), None)


@pytest.mark.parametrize("name", registry.names("methods"))
def test_the_parameter_of_a_built_in_method_is_its_config(name: str) -> None:
    cls = registry.get("methods", name)
    found = parameter(cls)
    wanted = f"write class {cls.__name__}(Method[{cls.Config.__name__}]), or OfflineMethod[...], in {cls.__module__}"
    assert isinstance(found, type) and issubclass(found, MethodConfig) and found is not MethodConfig, wanted
    assert issubclass(cls.Config, found), wanted


def test_a_plug_in_need_not_write_the_parameter() -> None:
    class Plain(Method):  # type: ignore[type-arg]
        name, paper, Config = "plain", "none", MethodConfig

        def collect(self, policy: Any, samples: Any, reward: Any, cfg: Any, noise: Any) -> Any:
            yield from ()

        def loss(self, policy: Any, batch: Any, cfg: Any, noise: Any) -> Any:
            return 0.0, {}

    assert Plain().images(MethodConfig()) == 1
