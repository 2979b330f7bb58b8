"""Addresses of reward servers: told from names, and refused where they hold what must not stand in a record."""

import pytest

from benchbench.errors import UsageError
from benchbench.rewards.http_address import check_address, has_address, is_address, is_served


def test_an_address_is_told_from_a_name() -> None:
    assert is_address("http://h:1") and is_address("HTTPS://h") and not is_address("pickscore")
    assert has_address("pickscore=0.5, http://h:1=0.5") and not has_address("pickscore=0.5,aesthetic=0.5")
    assert is_served("ocr@http") and not is_served("ocr")


@pytest.mark.parametrize("text", ["http://h:8000", "https://judge.example/v2", "http://[::1]:80", "http://127.0.0.1"])
def test_plain_addresses_pass(text: str) -> None:
    assert check_address(text) == check_address(f"{text}/") == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://me:hunter2@h:80", "a user's name or a password"),
        ("http://hunter2@h", "a user's name or a password"),
        ("http://me:hun/ter2@h", "a user's name or a password"),
        ("http://h/?key=hunter2", "a query or a fragment"),
        ("http://h/#hunter2", "a query or a fragment"),
        ("http://", "names no host"),
        ("http://:80", "names no host"),
        ("http://h:0", "port 0"),
        ("http://h:99999", "is no address"),
        ("http://h:eighty", "is no address"),
        ("http://[::1", "is no address"),
        ("http://h h", "a sign that no address has"),
        ("http://h\r\nX: y", "a sign that no address has"),
    ],
)
def test_others_are_refused_and_no_secret_is_repeated(text: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        check_address(text)
    assert said in str(error.value) and "hunter2" not in str(error.value)
    assert len(str(error.value).splitlines()) == 3
