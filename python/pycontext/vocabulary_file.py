"""Counters over vocabularies that a user has as files: not trusted, bounded, known by their content."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pycontext import _core
from pycontext.errors import ValidationError, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["RankFileCounter", "TokenizerFileCounter"]

LARGEST_FILE: Final = 64 << 20

# The longest beginning of a hash that nobody reads to its end.
_HASH_LETTERS: Final = 16


class _FileCounter:
    """What both kinds share: a counter of the core, and a name that says of which content."""

    __slots__ = ("_counter", "name")

    exact: Final = True

    def __init__(self, counter: Any, name: str) -> None:
        self._counter = counter
        self.name: Final = name

    def count(self, text: str, /) -> int:
        """Tokens of one text; raises `ValidationError` for what is no text."""
        counted: int = self._counter.count(text)
        return counted

    def count_batch(self, texts: Sequence[str], /) -> NDArray[np.uint32]:
        """Tokens of many texts in one call, one uint32 a text, other threads running meanwhile."""
        counted: NDArray[np.uint32] = self._counter.count_batch(texts)
        return counted

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class RankFileCounter(_FileCounter):
    r"""Counts as tiktoken does with a file of ranks and a pattern.

    Args:
        path: lines of base64, a space and a rank, as tiktoken's files have them; up to 64 MiB and 2,000,000 tokens.
        pattern: how a text is cut into pieces, in tiktoken's dialect. Matched in linear time: of look-arounds only the
            alternative `\s+(?!\S)` is known, of possessive quantifiers those at the end of an alternative.

    Raises:
        ValidationError: the file cannot be read, is too large or wrong (the line is named), or the pattern is.
    """

    __slots__ = ()

    def __init__(self, path: str | PathLike[str], pattern: str) -> None:
        content = _content(path)
        counter = _core.RankFile(content, pattern)
        digest = hashlib.sha256(content + b"\0" + pattern.encode()).hexdigest()
        super().__init__(counter, f"ranks:{Path(path).name}:{digest[:_HASH_LETTERS]}")


class TokenizerFileCounter(_FileCounter):
    """Counts as the crate `tokenizers` does with a tokenizer.json; no special tokens are added, nothing is cut.

    The wheel has to be built for it: `maturin build --release --features tokenizers`.

    Raises:
        ValidationError: this build cannot, or the file cannot be read, is over 64 MiB, or is no tokenizer.
    """

    __slots__ = ()

    def __init__(self, path: str | PathLike[str]) -> None:
        made = getattr(_core, "TokenizerFile", None)
        if made is None:
            rule = "wants a build with `maturin build --release --features tokenizers`"
            raise ValidationError(f"counter {shown(str(path))} {rule}")
        content = _content(path)
        digest = hashlib.sha256(content).hexdigest()
        super().__init__(made(content), f"tokenizer:{Path(path).name}:{digest[:_HASH_LETTERS]}")


def _content(path: str | PathLike[str]) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise ValidationError(f"counter {shown(str(path))} cannot be read: {error}") from error
    if len(content) > LARGEST_FILE:
        raise ValidationError(f"counter {shown(str(path))} has more than {LARGEST_FILE} bytes")
    return content
