"""Labelled evidence: contexts, questions about them, and which blocks hold what an answer needs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Final

from pycontext.block import ContextBlock, ContextType
from pycontext.errors import ContextError, ValidationError, shown
from pycontext.strict_json import parse

__all__ = ["Dataset", "DatasetError", "Question", "parse_dataset", "read_dataset"]

_LARGEST_TIME: Final = 2**63 - 1
_REFERENCES: Final = (ContextType.MEMORY, ContextType.KNOWLEDGE)


class DatasetError(ContextError):
    """A file holds no labelled evidence; the message names file, field and value."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a context, and what an answer needs.

    Attributes:
        qid: of the question.
        cid: of the context.
        turns: what was said, the question last; before it what was said earlier, if that is known.
        gold: clauses that must all hold; one holds when any block that it names is there. Of equal MEMORY or KNOWLEDGE
            texts each one names all.
        upto: blocks of the context that exist when it is asked.
    """

    qid: str
    cid: str
    turns: tuple[str, ...]
    gold: tuple[frozenset[str], ...]
    upto: int


@dataclass(frozen=True, slots=True)
class Dataset:
    """Contexts and questions of one file.

    Attributes:
        name: as the file says, else the file's own.
        sha256: of the file.
        contexts: blocks by the context's id.
        questions: in the file's order.
    """

    name: str
    sha256: str
    contexts: Mapping[str, Sequence[ContextBlock]]
    questions: Sequence[Question]


def read_dataset(path: str | PathLike[str]) -> Dataset:
    """Read a file of labelled evidence.

    Args:
        path: of a JSON file, `{"contexts": [{"cid", "blocks": [{"id", "type", "text", "t", "references"?}]}],
            "queries": [{"qid", "cid", "query", "gold", "upto"?, "query_hist"?}]}`; other keys are passed over.

    Raises:
        OSError: the file cannot be read.
        DatasetError: it is no such file.
    """
    return parse_dataset(Path(path).read_bytes(), str(path))


def parse_dataset(data: bytes, file: str) -> Dataset:
    """Read the bytes of such a file, as `read_dataset` does; `file` is its name, for messages.

    Raises:
        DatasetError: it is no such file.
    """
    try:
        fields = _fields(data)
        contexts = dict(_contexts(fields))
        questions = list(_questions(fields, contexts))
        name = _text(fields, "", "name") if "name" in fields else Path(file).stem
    except ValidationError as error:
        raise DatasetError(f"{file}: {error}") from None
    return Dataset(name, hashlib.sha256(data).hexdigest(), contexts, questions)


def _fields(data: bytes) -> dict[str, Any]:
    fields = parse(data)
    if not isinstance(fields, dict):
        raise ValidationError(f"{type(fields).__name__} is not an object with contexts and queries")
    return fields


def _contexts(fields: dict[str, Any]) -> Iterator[tuple[str, list[ContextBlock]]]:
    seen = set()
    for at, entry in _objects(fields, "", "contexts"):
        cid = _text(entry, at, "cid")
        if cid in seen:
            raise ValidationError(f"{at}.cid {shown(cid)} comes twice")
        seen.add(cid)
        blocks = [_block(block, where) for where, block in _objects(entry, at, "blocks")]
        ids = set()
        for row, block in enumerate(blocks):
            if block.id in ids:
                raise ValidationError(f"{at}.blocks[{row}].id {shown(block.id)} comes twice")
            ids.add(block.id)
        yield cid, blocks


def _block(entry: dict[str, Any], at: str) -> ContextBlock:
    kind, time = _text(entry, at, "type"), entry.get("t")
    if kind not in ContextType.__members__:
        raise ValidationError(f"{at}.type {shown(kind)} is not one of {', '.join(ContextType.__members__)}")
    if isinstance(time, bool) or not isinstance(time, int) or not 0 <= time <= _LARGEST_TIME:
        raise ValidationError(f"{at}.t {shown(time)} is not a whole number from 0 to {_LARGEST_TIME}")
    references = [
        _string(id, f"{at}.references[{n}]")
        for n, id in enumerate(_list(entry.get("references", []), f"{at}.references"))
    ]
    text = _string(entry.get("text"), f"{at}.text")
    try:
        return ContextBlock(_text(entry, at, "id"), text, 1.0, ContextType[kind], timestamp=time, references=references)
    except ValidationError as error:
        raise ValidationError(f"{at}: {error}") from None


def _questions(fields: dict[str, Any], contexts: Mapping[str, list[ContextBlock]]) -> Iterator[Question]:
    seen = set()
    same = {cid: _copies(blocks) for cid, blocks in contexts.items()}
    for at, entry in _objects(fields, "", "queries"):
        qid, cid, query = (_text(entry, at, name) for name in ("qid", "cid", "query"))
        if qid in seen:
            raise ValidationError(f"{at}.qid {shown(qid)} comes twice")
        seen.add(qid)
        if cid not in contexts:
            raise ValidationError(f"{at}.cid {shown(cid)} is no context")
        blocks = contexts[cid]
        upto = entry.get("upto", len(blocks))
        if isinstance(upto, bool) or not isinstance(upto, int) or not 1 <= upto <= len(blocks):
            raise ValidationError(f"{at}.upto {shown(upto)} is not a whole number from 1 to {len(blocks)}")
        there = {block.id for block in blocks[:upto]}
        yield Question(qid, cid, _turns(entry, at, query), _gold(entry, at, there, same[cid]), upto)


def _gold(
    entry: dict[str, Any], at: str, there: set[str], same: Mapping[str, frozenset[str]]
) -> tuple[frozenset[str], ...]:
    clauses = _list(entry.get("gold"), f"{at}.gold")
    if not clauses:
        raise ValidationError(f"{at}.gold is empty: nothing could be missed")
    found = []
    for n, clause in enumerate(clauses):
        ids = _list(clause, f"{at}.gold[{n}]")
        if not ids:
            raise ValidationError(f"{at}.gold[{n}] is empty: nothing could satisfy it")
        for id in ids:
            if not isinstance(id, str) or id not in there:
                raise ValidationError(f"{at}.gold[{n}] {shown(id)} is no block that exists then")
        found.append(frozenset().union(*(same[id] for id in ids)) & there)
    return tuple(found)


def _copies(blocks: Sequence[ContextBlock]) -> dict[str, frozenset[str]]:
    """For every block the ids of those that are the same evidence: `prune` keeps one of equal references."""
    groups: dict[object, list[str]] = {}
    keys = {block.id: (block.type, block.content) if block.type in _REFERENCES else block.id for block in blocks}
    for id, key in keys.items():
        groups.setdefault(key, []).append(id)
    return {id: frozenset(groups[key]) for id, key in keys.items()}


def _turns(entry: dict[str, Any], at: str, query: str) -> tuple[str, ...]:
    """The question, and what was said before it where the file has all in one text."""
    if "query_hist" not in entry:
        return (query,)
    whole = _text(entry, at, "query_hist")
    if not whole.endswith(query):
        raise ValidationError(f"{at}.query_hist {shown(whole)} does not end with the query")
    earlier = whole.removesuffix(query).strip()
    return (earlier, query) if earlier else (query,)


def _objects(entry: dict[str, Any], at: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a list that must not be empty, each with where it stands."""
    where = f"{at}.{name}" if at else name
    items = _list(entry.get(name), where)
    if not items:
        raise ValidationError(f"{where} is empty")
    for n, item in enumerate(items):
        if not isinstance(item, dict):
            raise ValidationError(f"{where}[{n}] {shown(item)} is {type(item).__name__}, not an object")
        yield f"{where}[{n}]", item


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValidationError(f"{where} {shown(value)} is {type(value).__name__}, not a list")
    return value


def _text(entry: dict[str, Any], at: str, name: str) -> str:
    where = f"{at}.{name}" if at else name
    text = _string(entry.get(name), where)
    if not text:
        raise ValidationError(f"{where} is empty")
    return text


def _string(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ValidationError(f"{where} {shown(value)} is {type(value).__name__}, not str")
    return value
