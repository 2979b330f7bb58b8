"""The columns of a file of pairs: their types, which are checked when the file is opened, and single values.

``datasets`` writes a picture as ``struct<bytes, path>``; Pick-a-Pic has bytes, and our own format bytes or a path.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from benchbench.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from benchbench.pairs.row_files import RowFile

OUR_COLUMNS = ("caption", "winner", "loser")
PICKAPIC_COLUMNS = ("caption", "jpg_0", "jpg_1", "label_0")
LABEL_COLUMNS = ("label_0", "label_1", "has_label")
PICKAPIC_ALONE = frozenset({"jpg_0", "jpg_1", "label_0", "image_0_uid", "image_1_uid", "ranking_id"})
"""Columns by which a file is known as one of Pick-a-Pic's."""

Kind = Literal["text", "bytes", "picture", "number", "truth", "list", "nothing", "other"]
PICTURE: tuple[Kind, ...] = ("bytes", "picture")
LABEL: tuple[Kind, ...] = ("number", "truth", "text", "nothing")
ALLOWED: Mapping[str, tuple[Kind, ...]] = {
    "caption": ("text",),
    "winner": ("text", *PICTURE),
    "loser": ("text", *PICTURE),
    "jpg_0": PICTURE,
    "jpg_1": PICTURE,
    "label_0": LABEL,
    "label_1": LABEL,
    "has_label": LABEL,
}
"""The kinds of values that a column may have."""
WANTED = {"caption": "one text a row", "label_0": "0, 1 or 0.5", "label_1": "0, 1 or 0.5", "has_label": "true or false"}
TRUTHS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def arrow_kind(kind: pa.DataType) -> Kind:
    """Returns the kind of an arrow type; a dictionary's is the one of its values."""
    from pyarrow import types

    if types.is_dictionary(kind):
        return arrow_kind(kind.value_type)
    if types.is_null(kind):
        return "nothing"
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "bytes"
    if types.is_boolean(kind):
        return "truth"
    if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return "number"
    if types.is_struct(kind):
        fields = {field.name: arrow_kind(field.type) for field in kind}
        known = {"bytes": fields.get("bytes", "nothing"), "path": fields.get("path", "nothing")}
        sound = known["bytes"] in ("bytes", "nothing") and known["path"] in ("text", "nothing")
        return "picture" if fields.keys() & known.keys() and sound else "other"
    return "list" if types.is_nested(kind) else "other"


def json_kind(value: object) -> Kind:
    """Returns the kind of a JSON value."""
    if isinstance(value, dict):
        return "picture" if isinstance(value.get("path"), str) else "other"
    kinds: dict[type, Kind] = {str: "text", bool: "truth", int: "number", float: "number", list: "list"}
    return kinds.get(type(value), "nothing")


def is_ours(file: RowFile) -> bool:
    """Returns True for our own columns, False for those of Pick-a-Pic. Errors: UsageError for neither."""
    if file.columns.issuperset(OUR_COLUMNS):
        return True
    if file.columns.issuperset(PICKAPIC_COLUMNS):
        return False
    pickapic = bool(file.columns & PICKAPIC_ALONE)
    missing = [name for name in (PICKAPIC_COLUMNS if pickapic else OUR_COLUMNS) if name not in file.columns]
    cause = f"it has no column {', '.join(missing)} (it has {', '.join(sorted(file.columns)) or 'none'})"
    if pickapic and {"jpg_0", "jpg_1"} & set(missing):
        raise UsageError(
            f"{file.path} is of Pick-a-Pic and holds no pictures",
            cause,
            "use the data with pictures: bench fetch --pairs pickapic_v2 --shards 0-3",
        )
    raise UsageError(
        f"{file.path} does not hold pairs", cause, f"give it the columns {', '.join(OUR_COLUMNS)}, see docs/pairs.md"
    )


def check_types(file: RowFile, ours: bool) -> None:
    """Raises UsageError for a column that no row can be read from, with its name and type.

    In a JSONL file types may differ by line; there a column is refused where no line has a type that is read.
    """
    if not len(file):
        return
    names = OUR_COLUMNS if ours else (*PICKAPIC_COLUMNS, *LABEL_COLUMNS[1:])
    for name, kinds in file.kinds([name for name in names if name in file.columns]).items():
        if not kinds.keys() & set(ALLOWED[name]):
            wanted = WANTED.get(name, "the bytes of a picture" if name.startswith("jpg") else "pictures or their paths")
            raise UsageError(
                f"the column {name} of {file.path} cannot be read",
                f"it holds {' and '.join(kinds.values())}, and must hold {wanted}",
                "write the column with another type, see docs/pairs.md",
            )


def label(value: object) -> float | None:
    """Returns a label as a number, also from a text such as "0.5"; None where there is none. Raises ValueError."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, str | bool | int | float) or hasattr(value, "__float__"):
        return float(value)
    raise ValueError(f"{value!r} is no number")


def truth(value: object) -> bool | None:
    """Returns a truth value, also from 0, 1 or a text; None where there is none. Raises ValueError."""
    if value is None or isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in TRUTHS:
        return TRUTHS[word]
    raise ValueError(f"{value!r} is neither true nor false")


def named_file(value: Any) -> str | None:
    """Returns the path by which a picture is named, or None where its bytes are in the row, or nothing is."""
    if isinstance(value, dict):
        return None if value.get("bytes") else named_file(value.get("path"))
    return value if isinstance(value, str) else None


def picture_bytes(value: Any) -> object:
    """Returns the bytes in a picture's value, which are None where there are none."""
    return value.get("bytes") if isinstance(value, dict) else value
