"""The relevance calculator of the article."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pycontext.block import ContextBlock, ContextType
from pycontext.blockset import BlockSet
from pycontext.errors import UnknownBlockError, ValidationError, shown
from pycontext.query import Query, turns_of
from pycontext.scorer import Scorer, score_with
from pycontext.scorers.tfidf import TfidfScorer

if TYPE_CHECKING:
    from pycontext.manager import ContextManager

__all__ = ["ContextualRelevanceCalculator"]

# What a block without any relevance has: above the manager's threshold, so that it can still be chosen.
_LEAST: Final = 0.3


class ContextualRelevanceCalculator:
    """Says how relevant blocks are to a query, and writes it into a session where that is asked for.

    To choose for a query nothing has to be written: `prune(..., query=...)` and `ContextManager.select` weigh the
    blocks for that look and leave their scores alone.

    Args:
        scorer: None for `TfidfScorer`.

    Raises:
        ValidationError: `scorer` is none.
    """

    def __init__(self, scorer: Scorer | None = None) -> None:
        if scorer is not None and not isinstance(scorer, Scorer):
            raise ValidationError(f"scorer {shown(scorer)} is {type(scorer).__name__}, not a Scorer")
        self.scorer: Final[Scorer] = TfidfScorer() if scorer is None else scorer

    def calculate_relevance(self, query: Query, context_blocks: Iterable[ContextBlock]) -> dict[str, float]:
        """Return how relevant each block is to a query, from 0 to 1 by its id; changes nothing.

        All are 0 where the query has no word that a block has. A `BlockSet` keeps what it has read: there only the
        first query has to read the blocks.

        Args:
            query: one turn of the user, or several with the newest last.
            context_blocks: the blocks, each id once.

        Raises:
            ValidationError: the query or a block is outside its limits, or two blocks have one id.
            PluginError: the scorer raised or returned what it must not.
        """
        turns = turns_of(query)
        blocks = context_blocks if isinstance(context_blocks, BlockSet) else BlockSet(context_blocks)
        found = blocks.snapshot(is_indexed=True)
        # As `prune` has them: the newest turn may be one of the blocks, with others before it.
        turns = found.turns(turns)
        return dict(zip(found.ids(), score_with(self.scorer, turns, found).tolist(), strict=True))

    def update_relevance_scores(
        self, query: Query, context_manager: ContextManager, session_id: str
    ) -> dict[str, float]:
        """Write into a session how relevant its blocks are to a query, and return the scores that they had.

        A block gets 0.3 + 0.7 times its relevance, whatever it had: a query does not add to the one before, and what
        says nothing about it can still be chosen. SYSTEM blocks and the last turn of the user keep their scores. Where
        no block has any relevance nothing is written.

        Args:
            query: one turn of the user, or several with the newest last.
            context_manager: that holds the session.
            session_id: of the session.

        Returns:
            The scores before by id of the block, of those that were written: `ContextManager.set_scores` puts them
            back.

        Raises:
            UnknownSessionError: there is no such session.
            ValidationError: the query is outside its limits.
            PluginError: the scorer raised or returned what it must not; in each case nothing was written.
        """
        # Also finds the session in its store.
        context_manager.set_scores(session_id, {})
        while True:
            blocks = context_manager.sessions[session_id].blocks.snapshot(is_indexed=True)
            relevance = self.calculate_relevance(query, blocks)
            if not any(relevance.values()):
                return {}
            kinds = [ContextType(kind) for kind in blocks.types]
            users = [id for id, kind in zip(relevance, kinds, strict=True) if kind is ContextType.USER]
            fixed = {id for id, kind in zip(relevance, kinds, strict=True) if kind is ContextType.SYSTEM}
            fixed.update(users[-1:])
            scores = {id: _LEAST + (1 - _LEAST) * found for id, found in relevance.items() if id not in fixed}
            try:
                # The scorer ran without the session's lock: it may be slow, or wait for a thread that adds.
                return context_manager.set_scores(session_id, scores)
            except UnknownBlockError:
                continue  # a block has fallen meanwhile
