"""Text from elsewhere as it may be shown: control characters are escaped, and a spreadsheet computes no cell.

A name, a prompt or a file name may hold any character. Shown as it is, ESC would change the colours or the title of a
terminal, a line break would look like another message, and a direction mark would turn a line around.
"""

from __future__ import annotations

import re

UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, separators of lines, marks of direction, and halves of characters, which no file can hold."""
COMPUTED = ("=", "+", "-", "@", "\t", "\r")
"""The first characters of a cell that a spreadsheet computes."""


def printable(text: object, keep: str = "") -> str:
    r"""Returns the text with each control character as Python writes it, such as ``\x1b``; those of ``keep`` stay."""
    return UNSHOWN.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], str(text))


def csv_text(text: object) -> str:
    """Returns the text of a cell of a CSV file: a leading ``=``, ``+``, ``-`` or ``@`` gets an apostrophe before it."""
    shown = str(text)
    return printable(f"'{shown}" if shown.startswith(COMPUTED) else shown)
