"""Text as LaTeX: escapes every sign, estimates how wide a text is set, and breaks a long one into lines."""

from __future__ import annotations

import re

from benchbench.runtime.printable import printable

ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{NO-BREAK SPACE}": "~",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
    "\n": " ",
    "x\N{COMBINING CIRCUMFLEX ACCENT}": r"$\hat{x}$",
    "--": "-{}-",  # else one dash
    **{sign: f"\\{sign}" for sign in "{}$&#%"},
    "_": r"\_\allowbreak{}",
    **{
        sign: f"${name}$"
        for sign, name in {
            "\N{MINUS SIGN}": "-",
            "\N{DAGGER}": r"^\dagger",
            "\N{MULTIPLICATION SIGN}": r"\times",
            "\N{PLUS-MINUS SIGN}": r"\pm",
            "\N{MIDDLE DOT}": r"\cdot",
            "\N{RIGHTWARDS ARROW}": r"\rightarrow",
            "\N{UPWARDS ARROW}": r"\uparrow",
            "\N{DOWNWARDS ARROW}": r"\downarrow",
            "\N{LESS-THAN OR EQUAL TO}": r"\leq",
            "\N{GREATER-THAN OR EQUAL TO}": r"\geq",
            "\N{GREEK SMALL LETTER ALPHA}": r"\alpha",
            "\N{GREEK SMALL LETTER BETA}": r"\beta",
            "\N{GREEK SMALL LETTER DELTA}": r"\delta",
            "\N{GREEK SMALL LETTER ETA}": r"\eta",
            "\N{GREEK SMALL LETTER SIGMA}": r"\sigma",
        }.items()
    },
}
SPECIAL = re.compile("|".join(map(re.escape, ESCAPES)))

# Widths in thousandths of the font's size, of Computer Modern Roman; other letters are a little narrower than 600.
WIDTHS = {
    **dict.fromkeys("filjtI.,:;'|![]", 290),
    **dict.fromkeys("0123456789abcdeghnopqsuvxyzk", 530),
    **dict.fromkeys("rs()- /", 395),
    **dict.fromkeys("mMW", 950),
    **dict.fromkeys("wABCDEFGHJKLNOPQRSTUVXYZ+&=<>\N{MINUS SIGN}\N{UPWARDS ARROW}\N{DOWNWARDS ARROW}", 778),
    "%": 833,
}
OTHER = 600
SMALL_FONTS = {5: 1.3, 6: 1.2, 7: 1.14, 8: 1.07, 9: 1.03}  # smaller fonts are wider for their size
PIECE = 18  # letters of a word that has no better place for a line break
PIECES = re.compile(
    rf"(?:[^\s\-/_.,:]|[.,:](?=\d)){{1,{PIECE}}}(?:[\-/_]|[.,:](?!\d))*|[\-/_.,:]+|\s+"  # no break within 0.25
)
LONG_WORD = re.compile(r"[^\s\-]{30,}")


def escape(text: str) -> str:
    """Returns plain text as LaTeX that prints it."""
    return SPECIAL.sub(lambda match: ESCAPES[match.group()], printable(text, keep="\n"))


def escape_prose(text: str) -> str:
    """Returns a sentence as LaTeX that prints it, and that may break a line within very long words."""
    parts, start = [], 0
    for found in LONG_WORD.finditer(text):
        word = found[0]
        pieces = [escape(word[i : i + PIECE]) for i in range(0, len(word), PIECE)]
        parts += [escape(text[start : found.start()]), r"\allowbreak{}".join(pieces)]
        start = found.end()
    return "".join([*parts, escape(text[start:])])


def width(text: str, size: int, bold: bool = False) -> float:
    """Returns about how wide the text is set, in points, in a font of ``size`` points."""
    thousandths = sum(WIDTHS.get(sign, OTHER) for sign in text)
    return thousandths / 1000 * size * SMALL_FONTS.get(size, 1.0) * (1.17 if bold else 1.0)


def wrap(text: str, most: float, size: int) -> list[str]:
    """Returns the lines of a text that is at most ``most`` points wide, broken at spaces and after - / _ . , and :."""
    lines = [""]
    for piece in PIECES.findall(text):
        if width(lines[-1] + piece.rstrip(), size) > most and lines[-1].strip():
            lines.append("")
        lines[-1] += piece
    return [line.strip() for line in lines if line.strip()] or [""]
