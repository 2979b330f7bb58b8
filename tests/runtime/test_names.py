"""Ordinary names stay as they are; what a file system or a shell reads otherwise is replaced."""

import pytest

from benchbench.runtime.names import natural_order, safe_name


@pytest.mark.parametrize("name", ["shapes-colour-1", "tailorpo-2", "v1.2_b", "hpsv2.1"])
def test_an_ordinary_name_stays(name: str) -> None:
    assert safe_name(name) == safe_name(name, "-") == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fake-org/model@1", "fake-org_model_1"),
        ("a=0.5,b=0.3", "a_0.5_b_0.3"),
        ("../../up", ".._.._up"),
        ("..", "_"),
        ("", "_"),
        ("naïve \x1b[31m\n", "na_ve_31m_"),
    ],
)
def test_other_signs_are_replaced(text: str, name: str) -> None:
    assert safe_name(text) == name


def test_long_names_are_cut_and_stay_apart() -> None:
    one, other = safe_name("a" * 300 + "1"), safe_name("a" * 300 + "2")
    assert one != other and len(one) == len(other) < 200


def test_numbers_in_names_are_compared_as_numbers() -> None:
    """By hand: as people count; the ending last; equal numbers as text; numbers before letters."""
    right = [
        "0.png",
        "01.png",
        "1.jpg",
        "1.png",
        "1-2.png",
        "2.png",
        "10.png",
        "100.png",
        "a.png",
        "a2.png",
        "a10b.png",
    ]
    right += ["a10b2.png", "b1.png", "b" + "9" * 200 + ".png"]
    backwards = list(reversed(right))
    assert sorted(backwards, key=natural_order) == right
