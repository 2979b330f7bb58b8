"""Makes the tokenizer, a byte-pair encoding that is learned from the words of the captions."""

import itertools
from collections import Counter
from pathlib import Path

from torch import Tensor
from transformers import CLIPTokenizer

from benchbench.shapes.attributes import COLOURS, POSITION_PHRASES, SHAPES, SIZES

LENGTH = 20
"""The number of tokens of a prompt, with the start and end marks."""
END = "</w>"


def words() -> list[str]:
    """Returns the words of the captions in alphabetical order."""
    places = itertools.chain.from_iterable(place.split() for place in POSITION_PHRASES.values())
    return sorted({"a", "an", "on", "background", *places, *COLOURS, *SHAPES, *SIZES})


def learn_merges(corpus: list[str]) -> list[tuple[str, str]]:
    """Returns merges in the order learned, until each word is one token; equally frequent pairs merge by name."""
    pieces = [(*word[:-1], word[-1] + END) for word in corpus]
    merges: list[tuple[str, str]] = []
    while True:
        pairs = Counter(pair for piece in pieces for pair in itertools.pairwise(piece))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces = [_join(piece, best) for piece in pieces]


def _join(piece: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    joined: list[str] = []
    for part in piece:
        if joined and (joined[-1], part) == pair:
            joined[-1] += part
        else:
            joined.append(part)
    return tuple(joined)


def _byte_symbols() -> list[str]:
    """Returns a printable symbol for each of the 256 bytes, as GPT-2 does; a printable byte is its own symbol."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spare = itertools.count(256)
    return [chr(byte) if byte in printable else chr(next(spare)) for byte in range(256)]


def make() -> CLIPTokenizer:
    """Returns a CLIP tokenizer: bytes, bytes that end a word, merges in their order, and the start and end marks."""
    merges = learn_merges(words())
    symbols = _byte_symbols()
    entries = [*symbols, *(s + END for s in symbols), *(a + b for a, b in merges)]
    entries += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: number for number, entry in enumerate(dict.fromkeys(entries))}
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
        pad_token="<|endoftext|>",
        model_max_length=LENGTH,
    )


def encode(tokenizer: CLIPTokenizer, prompts: list[str]) -> Tensor:
    """Returns the token ids of prompts, int64 [N, 20]."""
    encoded = tokenizer(prompts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    ids: Tensor = encoded.input_ids
    return ids


def save(folder: Path) -> None:
    """Writes the tokenizer into a folder that `from_pretrained` reads."""
    make().save_pretrained(folder)
