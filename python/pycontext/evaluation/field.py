"""Who takes part: every baseline that can run here, and ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pycontext.evaluation.baselines.article import static, tfidf
from pycontext.evaluation.baselines.bm25 import bm25
from pycontext.evaluation.baselines.chance import Chance
from pycontext.evaluation.baselines.embedded import embedded, fused
from pycontext.evaluation.baselines.identifiers import Identifiers
from pycontext.evaluation.baselines.oracle import Oracle
from pycontext.evaluation.baselines.recency import recent
from pycontext.evaluation.contender import Contender, Role
from pycontext.evaluation.ours import POLICY, Ours
from pycontext.scorer import Scorer

__all__ = ["Field", "field_of"]


@dataclass(frozen=True, slots=True)
class Field:
    """Contenders in the order of the tables.

    Attributes:
        contenders: who takes part.
        absent: who does not, and why.
    """

    contenders: tuple[Contender, ...]
    absent: tuple[str, ...]


def field_of(
    *, policies: Sequence[str] = (), scorer: Scorer | None = None, model: str = "MiniLM", seed: int = 0
) -> Field:
    """Return who takes part.

    Args:
        policies: of ours, to be shown besides the one that `prune` has with a query.
        scorer: of an embedding model; None for none.
        model: what tables call it.
        seed: of what is drawn.

    Raises:
        ValidationError: there is no policy of a name.
    """
    absent = []
    words = tfidf()
    if words is None:
        absent.append("article, TF-IDF: scikit-learn is not installed")
    found: list[Contender] = [Chance(seed=seed), recent(), static()]
    found += [] if words is None else [words]
    found += [bm25(), Identifiers()]
    if scorer is None:
        absent.append(f"{model}, alone, fused and with ours: no embedding model was asked for")
    else:
        found += [embedded(model, scorer), fused(f"BM25 and {model} by ranks", scorer)]
    found += [Ours(name, role=Role.VARIANT) for name in dict.fromkeys(policies) if name != POLICY]
    found.append(Ours())
    if scorer is not None:
        name = f"pycontext, {POLICY}, {model}"
        found.append(Ours(scorer=scorer, role=Role.OURS_WITH_MODEL, name=name))
    found.append(Oracle())
    return Field(tuple(found), tuple(absent))
