"""TF-IDF, as the article scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.blockset import BlockSet

__all__ = ["TfidfScorer"]


class TfidfScorer:
    """Scores blocks by the cosine between their words and those of the query.

    The weights are those of scikit-learn's `TfidfVectorizer(stop_words="english")`, fitted on the query and the blocks:
    counts times `ln((1 + n) / (1 + df)) + 1`, of unit length. The words are those of `LexicalScorer`, stems and all,
    and come from the same index: nothing is fitted anew for a query.
    """

    def score(self, query: str, blocks: BlockSet, /) -> NDArray[np.float64]:
        """One number from 0 to 1 for every block, in order.

        Raises:
            ValidationError: `query` is no str.
        """
        return blocks.matches(query, "tfidf")
