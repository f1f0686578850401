"""Scores by meaning: cosines between embeddings."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from pycontext.block import ContextType
from pycontext.errors import PluginError, ValidationError, shown
from pycontext.query import turns_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.blockset import BlockSet

__all__ = ["EmbeddingScorer"]

# How much earlier turns count beside the newest, and the best matches beside the query (Rocchio, 1971): measured on
# labelled evidence, see benches/evaluation.
_EARLIER: Final = 0.2
_FEEDBACK: Final = 0.4
_FEEDBACK_BLOCKS: Final = 3


class EmbeddingScorer:
    """Scores blocks by the cosine between their embeddings and that of the query.

    The query is moved towards its three best matches before it counts. A cosine below 0 is 0: what points away from the
    query is no worse than what has nothing to do with it. A text is embedded once, by its hash, whichever set holds it;
    those used last are kept. Safe to use from several threads as far as `encode` is.

    Args:
        encode: returns one row of numbers for each text of a list, all of one length. Called once for all texts of a
            query that are new.
        most_cached: texts whose embeddings are kept, 1 or more. At 384 numbers a text, 100,000 take 150 MB.

    Raises:
        ValidationError: an argument is outside its limits.
    """

    def __init__(self, encode: Callable[[list[str]], Any], *, most_cached: int = 100_000) -> None:
        if not callable(encode):
            raise ValidationError(f"encode {shown(encode)} is {type(encode).__name__}, not a function")
        if isinstance(most_cached, bool) or not isinstance(most_cached, int) or most_cached < 1:
            raise ValidationError(f"most_cached {shown(most_cached)} is not a whole number from 1 up")
        self.encode: Final = encode
        self.most_cached: Final = most_cached
        self._cached: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()
        self._lock: Final = Lock()

    def score(self, query: str, blocks: BlockSet, /) -> NDArray[np.float64]:
        """One number from 0 to 1 for every block, in order.

        Raises:
            ValidationError: `query` is no str.
            PluginError: `encode` raised or returned what it must not.
        """
        return self.score_turns([query], blocks)

    def score_turns(self, turns: Sequence[str], blocks: BlockSet, /) -> NDArray[np.float64]:
        """The same for several turns of the user, the newest last: earlier ones count a fifth."""
        import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

        turns = turns_of(turns)
        texts = [block.content for block in blocks]
        if not texts:
            return np.zeros(0)
        earlier = "\n".join(turns[:-1])
        vectors = self._embed([*texts, turns[-1], *([earlier] if earlier else [])])
        rows, query = vectors[: len(texts)], vectors[len(texts)]
        if earlier:
            query = _unit(query + _EARLIER * vectors[-1])
        cosines = rows @ query
        is_meant = np.array(
            [block.type is not ContextType.SYSTEM and block.content != turns[-1] for block in blocks], dtype=bool
        )
        best = np.flatnonzero(is_meant)
        best = best[np.argsort(-cosines[best], kind="stable")[:_FEEDBACK_BLOCKS]]
        if len(best):
            cosines = rows @ _unit(query + _FEEDBACK * rows[best].mean(axis=0))
        scores: NDArray[np.float64] = np.clip(cosines, 0.0, 1.0).astype(np.float64)
        return scores

    def _embed(self, texts: list[str]) -> NDArray[np.float32]:
        """Vectors of unit length, those of texts that say nothing 0."""
        import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

        keys = [blake2b(text.encode(), digest_size=16).digest() for text in texts]
        found: dict[bytes, NDArray[np.float32]] = {}
        with self._lock:
            for key in keys:
                if key in self._cached:
                    found[key] = self._cached[key]
                    self._cached.move_to_end(key)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found and text.strip()}
        if missing:
            new = self._encoded(list(missing.values()))
            # A row of its own: a view would keep all the texts of its query for as long as one of them is cached.
            found |= ((key, row.copy()) for key, row in zip(missing, new, strict=True))
        size = len(next(iter(found.values()))) if found else 1
        if any(len(vector) != size for vector in found.values()):
            raise PluginError(f"encode {_name(self.encode)} returned rows of other lengths than before")
        with self._lock:
            for key in missing:
                self._cached[key] = found[key]
            while len(self._cached) > self.most_cached:
                self._cached.popitem(last=False)
        nothing = np.zeros(size, dtype=np.float32)
        return np.stack([found.get(key, nothing) for key in keys])

    def _encoded(self, texts: list[str]) -> NDArray[np.float32]:
        """Ask for embeddings and check what comes."""
        import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

        name = f"encode {_name(self.encode)}"
        try:
            returned = np.asarray(self.encode(texts))
        except Exception as cause:
            raise PluginError(f"{name} raised {type(cause).__name__}") from cause
        if returned.dtype.kind not in "fiu":
            raise PluginError(f"{name} returned {returned.dtype}, not real numbers")
        if returned.ndim != 2 or returned.shape[0] != len(texts) or not returned.shape[1]:
            raise PluginError(f"{name} returned shape {returned.shape} for {len(texts)} texts")
        if not np.isfinite(returned).all():
            row = int((~np.isfinite(returned)).any(axis=1).argmax())
            raise PluginError(f"{name} returned what is not finite for texts[{row}]")
        rows = returned.astype(np.float64)
        largest = np.abs(rows).max(axis=1, keepdims=True)
        # First to 1 at most: the squares of very large and very small numbers are none.
        return _unit(rows / np.where(largest > 0, largest, 1.0)).astype(np.float32)


def _unit(vectors: NDArray[Any]) -> NDArray[Any]:
    """The vectors with length 1, but for those without a direction."""
    import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1.0)


def _name(encode: object) -> str:
    return getattr(encode, "__name__", type(encode).__name__)
