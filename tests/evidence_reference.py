"""The policy `evidence` once more, in the plainest Python: every number by its formula, every step by looking at all.

Sums of floats differ in their last bits with the order of the terms. So units that are as good within 1e-9 may be taken
either way: the reference follows the kernel there; where it cannot tell what would follow, it raises `CloseError`.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path

import snowballstemmer

from pycontext import ContextBlock, ContextType

TURNS = (ContextType.USER, ContextType.AGENT, ContextType.TOOL)
DIALOGUE = (ContextType.USER, ContextType.AGENT)
STOP_WORDS = Path(__file__).parent.parent / "rust/pycontext-core/src/words/stop_words.txt"
STEMMERS = {
    "LATIN": "english", "GREEK": "greek", "CYRILLIC": "russian", "ARMENIAN": "armenian", "ARABIC": "arabic",
    "DEVANAGARI": "hindi", "TAMIL": "tamil",
}  # fmt: skip
PAIRED = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "THAI", "LAO", "KHMER", "MYANMAR")


class CloseError(Exception):
    """Two numbers that decide are as good as equal."""


def script(char: str) -> str:
    return unicodedata.name(char, "").split(" ")[0]


@cache
def stop_words() -> frozenset[str]:
    return frozenset(STOP_WORDS.read_text("utf-8").split())


@cache
def stem(word: str) -> str:
    letter = next((char for char in word if char.isalpha()), "")
    language = STEMMERS.get(script(letter)) if letter else None
    return snowballstemmer.stemmer(language).stemWord(word) if language else word


@cache
def terms(text: str) -> list[str]:
    """The stems of the words of a text, in its order."""
    shapes = ["word" if char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M" else "" for char in text]
    shapes = [shape and ("pairs" if script(c) in PAIRED else shape) for shape, c in zip(shapes, text, strict=True)]
    found: list[str] = []
    for shape, run in groupby(zip(shapes, text, strict=True), key=lambda pair: pair[0]):
        word = "".join(char for _, char in run)
        if shape == "pairs":
            found += ["".join(pair) for pair in pairwise(word)] or [word]
        elif shape:
            folded = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", word).lower())
            found += [stem(folded)] if len(folded) > 1 and folded not in stop_words() else []
    return found


def calls_of(block: ContextBlock) -> list[dict[str, str]]:
    return [call["function"] for call in json.loads(block.metadata.get("openai.tool_calls", "[]"))]


def text_of(block: ContextBlock) -> str:
    """What a block says, the calls that it makes included."""
    calls = [f'{{"name":{json.dumps(call["name"])},"arguments":{call["arguments"]}}}' for call in calls_of(block)]
    return "\n".join([block.content, *calls])


def identifiers(text: str) -> dict[str, float]:
    """Each identifier of a text in lower case, and the weight of its kind."""
    without_keys = re.sub(r'"[A-Za-z0-9_]+"[ \t\r\n]*:', " ", text)
    found = re.findall(r"[A-Za-z0-9_]+(?:[@.+:-][A-Za-z0-9_]+)*", without_keys)
    weights = {name.lower(): weight_of_kind(name) for name in (name.strip("_.:-+") for name in found)}
    return {name: weight for name, weight in weights.items() if weight}


def weight_of_kind(name: str) -> float:
    digits = sum(char.isdigit() for char in name)
    has_letters = any(char.isalpha() for char in name)
    if len(name) < 3:
        return 0.0
    if "@" in name:
        return 1.0 if re.fullmatch(r"[^@]+@[^@]*\.[^@]*", name) else 0.0
    if not digits:
        return 0.2 if "_" in name else 0.0
    if re.fullmatch(r"\d{4}-\d\d-\d\d", name):
        return 1.0
    is_time = re.match(r"\d{4}-\d\d-\d\dT", name, re.IGNORECASE) or (":" in name and not has_letters)
    return 0.1 if is_time or not (has_letters or digits >= 6) else 1.0


class Words:
    """BM25 over the rows of a set."""

    def __init__(self, blocks: Sequence[ContextBlock]) -> None:
        self.rows = [Counter(terms(text_of(block))) for block in blocks]
        self.df = Counter(term for row in self.rows for term in row)
        self.mean = sum(row.total() for row in self.rows) / max(1, len(self.rows))

    def idf(self, df: int) -> float:
        return math.log(1 + (len(self.rows) - df + 0.5) / (df + 0.5))

    def bm25(self, query: Mapping[str, float]) -> list[float]:
        def part(row: Counter[str], term: str) -> float:
            return row[term] / (row[term] + 1.5 * (1 - 0.9 + 0.9 * row.total() / self.mean))

        found = [[(term, weight) for term, weight in query.items() if term in row] for row in self.rows]
        return [
            sum(weight * self.idf(self.df[term]) * part(row, term) for term, weight in own)
            for row, own in zip(self.rows, found, strict=True)
        ]


class Evidence:
    """What speaks for the units of a set.

    `costs` has the tokens of each unit by its first row; `chosen` the rows that the kernel chose.
    """

    def __init__(
        self,
        blocks: Sequence[ContextBlock],
        units: Sequence[list[int]],
        costs: Mapping[int, int],
        turns: Sequence[str],
        scorer: Sequence[float] | None,
        chosen: Sequence[int],
    ) -> None:
        self.blocks, self.costs, self.chosen = blocks, costs, set(chosen)
        weighed = [unit for unit in units if blocks[unit[0]].type is not ContextType.SYSTEM]
        has_tools = any(block.type is ContextType.TOOL for block in blocks)
        self.transcript = [unit for unit in weighed if has_tools and blocks[unit[0]].type in TURNS]
        self.references = [unit for unit in weighed if unit not in self.transcript]
        self.words = Words(blocks)
        self.newest = dict.fromkeys(terms(turns[-1]), 1.0) if turns else {}
        earlier = [term for turn in reversed(turns[-3:-1]) for term in terms(turn)]
        self.query = dict.fromkeys(earlier, 0.2) | self.newest
        self.query = {term: self.query[term] for term in [*self.newest, *earlier]}
        said = turns[-1].strip() if turns else ""
        self.own = {row for row, block in enumerate(blocks) if self.newest and said in block.content}
        self.added: list[str] = []
        self.relevance = self._relevance(scorer) if turns else [1.0] * len(self.references)
        matches = self.words.bm25(self.newest)
        self.matches = [0.0 if row in self.own else match for row, match in enumerate(matches)]
        self.gate = self._gate()
        self.share = self._share()
        self._weigh_identifiers()

    # References.

    def _relevance(self, scorer: Sequence[float] | None) -> list[float]:
        """How much each reference matters, as a part of the best."""
        values = best_of(self.references, self.words.bm25(self.query))
        if wider := self._widened(values):
            values = best_of(self.references, self.words.bm25(wider))
        if scorer is not None:
            pairs = zip(standard(best_of(self.references, scorer)), standard(values), strict=True)
            values = [other + 0.5 * word for other, word in pairs]
            values = [value - min(values) for value in values]
        said = [at for at, unit in enumerate(self.references) if self.blocks[unit[0]].type in DIALOGUE]
        shared = list(values)
        for place, at in enumerate(said):
            beside = [values[other] for other in [*said[max(0, place - 1) : place], *said[place + 1 : place + 2]]]
            if self.costs[self.references[at][0]] < 100:
                shared[at] += 0.3 * max(beside, default=0.0)
        best = max(shared, default=0.0)
        return [value / best if best else 0.0 for value in shared]

    def _widened(self, values: Sequence[float]) -> dict[str, float]:
        """The query with the ten weightiest words of its five best matches."""
        others = [at for at, unit in enumerate(self.references) if values[at] > 0 and not self.own & set(unit)]
        ranked = sorted(others, key=lambda at: -values[at])
        refuse_near_ties([values[at] for at in ranked], 5)
        weights: Counter[str] = Counter()
        for at in ranked[:5]:
            counts = sum((self.words.rows[row] for row in self.references[at]), Counter[str]())
            for term, count in counts.items():
                part = values[at] / sum(values[at] for at in ranked[:5])
                weights[term] += part * count / counts.total() * self.words.idf(self.words.df[term])
        heaviest = sorted(weights, key=lambda term: (-weights[term], term))
        refuse_near_ties([weights[term] for term in heaviest], 10)
        kept = heaviest[:10]
        wider = {term: 0.7 * weight / sum(self.query.values()) for term, weight in self.query.items()}
        for term in kept:
            wider[term] = wider.get(term, 0.0) + 0.3 * weights[term] / sum(weights[term] for term in kept)
        self.added = [term for term in kept if term not in self.query]
        return wider if kept else {}

    # The conversation with tools.

    def _gate(self) -> float:
        elsewhere = [row for number, row in enumerate(self.words.rows) if number not in self.own]
        found = [term for term in self.newest if any(term in row for row in elsewhere)]
        specific = sum(self.words.idf(self.words.df[term]) for term in found) / self.words.idf(1) if found else 0.0
        return min(1.0, max(0.0, (specific - 6) / 8)) if self.transcript else 0.0

    def _share(self) -> float | None:
        if not (self.transcript and self.references):
            return None
        read, said = (max(best_of(units, self.matches)) ** 4 for units in (self.references, self.transcript))
        return read / (read + said) if read else 0.0

    def _weigh_identifiers(self) -> None:
        last = len(self.transcript) - 1
        self.recency = [0.5 ** ((last - place) / 12) for place in range(last + 1)]
        self.identifiers: list[set[str]] = []
        kinds: dict[str, float] = {}
        called: set[str] = set()
        for unit in self.transcript:
            self.identifiers.append(set())
            for row in unit:
                block = self.blocks[row]
                said = identifiers(block.content) if block.type in TURNS else {}
                asked = {
                    name: kind for call in calls_of(block) for name, kind in identifiers(call["arguments"]).items()
                }
                if block.type is ContextType.AGENT and len(unit) > 1 and not calls_of(block):
                    asked = said  # a call that is written as text, and known by its results
                kinds |= said | asked
                called |= set(asked)
                self.identifiers[-1] |= {*said, *asked}
        self.weights = {}
        for name, kind in kinds.items():
            places = [place for place, own in enumerate(self.identifiers) if name in own]
            repeated = 0.5 * (min(len(places), 6) - 1)
            self.weights[name] = kind * (1 + repeated + 3 * (name in called)) * self.recency[places[-1]]
        heaviest = max([1.0, *(self._weight(own) for own in self.identifiers)])
        matches = best_of(self.transcript, self.matches)
        best = max(matches, default=0.0)
        self.words_weight = [0.5 * self.gate * match / best * heaviest if best else 0.0 for match in matches]
        fit = self._fit()
        for name in self.weights:
            places = [place for place, own in enumerate(self.identifiers) if name in own]
            if len(places) == 1 and name not in called:
                self.weights[name] *= 1 + 2 * fit[places[0]] ** 2
        self.covered: set[str] = set()

    def _fit(self) -> list[float]:
        """How well each unit matches what the user said before, and what the agent proposed last."""
        rows = [row for unit in self.transcript for row in unit]
        users = sorted(row for row in rows if self.blocks[row].type is ContextType.USER)
        if not users:
            return [0.0] * len(self.transcript)
        proposals = [
            unit[0]
            for unit in self.transcript
            if len(unit) == 1 and self.blocks[unit[0]].type is ContextType.AGENT
            if unit[0] < users[-1] and not calls_of(self.blocks[unit[0]])
        ]
        read = users[:-1][-64:] + proposals[-1:]
        matches = self.words.bm25({term: 1.0 for row in read for term in self.words.rows[row]})
        for row in [*read, users[-1]]:
            matches[row] = 0.0
        fit = best_of(self.transcript, matches)
        return [value / max(fit) if max(fit) else 0.0 for value in fit]

    def _weight(self, names: set[str]) -> float:
        return math.fsum(self.weights[name] for name in names)

    # What the kernel asks.

    def cover(self, unit: list[int]) -> None:
        if unit in self.transcript:
            self.covered |= self.identifiers[self.transcript.index(unit)]

    def begin(self, units: Sequence[list[int]], reasons: Sequence[str], least: float) -> list[list[int]]:
        """Covers what is pinned; returns the units that matter less than `least`, of those whose fate is open."""
        for unit in units:
            if reasons[unit[0]] == "pinned":
                self.cover(unit)
        open_units = [unit for unit in self.references if not reasons[unit[0]]]
        relevance = {unit[0]: value for unit, value in zip(self.references, self.relevance, strict=True)}
        if any(relevance[unit[0]] != least and is_near(relevance[unit[0]], least) for unit in open_units):
            raise CloseError
        return [unit for unit in open_units if relevance[unit[0]] < least]

    def take(
        self,
        waiting: list[list[int]],
        by_row: Sequence[float],
        used: int,
        limit: int,
        try_to_keep: Callable[[list[int], int], bool],
    ) -> list[list[int]]:
        """Units that are kept in one round, `by_row` being their scores; `try_to_keep` keeps a unit if it fits."""
        scores = {unit[0]: max(by_row[row] for row in unit) for unit in waiting}
        share = 1.0 if self.share is None else self.share
        room = max(0, limit - used) * share
        if share not in (0.0, 0.5, 1.0) and abs(room - round(room)) < 1e-6:
            raise CloseError
        references = self._in_order([unit for unit in waiting if unit in self.references], scores)
        taken = [unit for unit in references if try_to_keep(unit, used + math.floor(room))]
        spoken = [unit for unit in waiting if unit in self.transcript]
        while spoken:
            gains = {unit[0]: self._gain(unit, scores[unit[0]]) for unit in spoken}
            spoken.sort(key=lambda unit: (gains[unit[0]], *newest(self.blocks, unit)), reverse=True)
            refuse_near_ties([gains[unit[0]] for unit in spoken], 1)
            best = spoken.pop(0)
            if try_to_keep(best, limit):
                taken.append(best)
                self.cover(best)
        return taken + [unit for unit in references if unit not in taken and try_to_keep(unit, limit)]

    def _gain(self, unit: list[int], score: float) -> float:
        place = self.transcript.index(unit)
        fresh = self._weight(self.identifiers[place] - self.covered)
        rest = self.words_weight[place] + 0.02 * self.recency[place]
        return score * (fresh + rest) / self.costs[unit[0]] ** 0.5

    def _in_order(self, units: list[list[int]], scores: Mapping[int, float]) -> list[list[int]]:
        """Best first. What matches nothing comes last, by its own score and its cost."""

        def value(unit: list[int]) -> float:
            matters = self.relevance[self.references.index(unit)] + 1e-9
            return scores[unit[0]] * matters / self.costs[unit[0]] ** 0.1

        ranked = sorted(units, key=lambda unit: (value(unit), *newest(self.blocks, unit)), reverse=True)
        groups: list[list[list[int]]] = []
        for unit in ranked:
            if groups and is_near(value(groups[-1][-1]), value(unit)):
                groups[-1].append(unit)
            else:
                groups.append([unit])
        for group in groups:
            are_equal = len({(value(unit), self.blocks[unit[0]].content) for unit in group}) == 1
            if value(group[0]) and not are_equal:
                group.sort(key=lambda unit: unit[0] in self.chosen, reverse=True)
        return [unit for group in groups for unit in group]


def newest(blocks: Sequence[ContextBlock], unit: Sequence[int]) -> tuple[int, int]:
    return max(blocks[row].timestamp for row in unit), unit[-1]


def best_of(units: Sequence[Sequence[int]], by_row: Sequence[float]) -> list[float]:
    return [max(by_row[row] for row in unit) for unit in units]


def standard(values: Sequence[float]) -> list[float]:
    """With mean 0 and deviation 1; all 0 where they are equal."""
    mean = sum(values) / max(1, len(values))
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values)))
    return [(value - mean) / deviation if deviation > 1e-12 else 0.0 for value in values]


def is_near(a: float, b: float) -> bool:
    return abs(a - b) <= max(1e-9 * max(a, b), 1e-13)


def refuse_near_ties(falling: Sequence[float], kept: int) -> None:
    """Raise where the last that is kept and the first that is not differ by rounding only."""
    if len(falling) > kept and falling[kept - 1] != falling[kept] and is_near(falling[kept - 1], falling[kept]):
        raise CloseError
