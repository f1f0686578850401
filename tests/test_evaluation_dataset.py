"""Labelled evidence: what is read, and what is refused in one line that names file, field and value."""

from __future__ import annotations

import json

import pytest

from evidence import block, cases, dataset, values
from pycontext import ContextType
from pycontext.evaluation import DatasetError, read_dataset
from pycontext.evaluation.dataset import parse_dataset


def test_a_file_is_read_as_it_says(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(values()), encoding="utf-8")
    found = read_dataset(path)
    assert (found.name, len(found.sha256)) == ("hand-made", 64)
    assert [question.qid for question in found.questions] == ["bees", "basel", "pay"]
    pay = found.questions[2]
    assert (pay.cid, pay.turns, pay.upto) == ("chat", ("Yes, go ahead.",), 5)
    assert pay.gold == (frozenset({"u0", "a0"}), frozenset({"r0"}))
    result = found.contexts["chat"][2]
    assert (result.type, result.references, result.timestamp, result.relevance_score) == (
        ContextType.TOOL, ["a0"], 2, 1.0,
    )  # fmt: skip


def test_a_file_without_a_name_has_its_own():
    fields = values()
    del fields["name"]
    assert parse_dataset(json.dumps(fields).encode(), "some/set.json").name == "set"


def test_what_was_said_before_is_a_turn_of_its_own():
    fields = values()
    fields["queries"][0]["query_hist"] = "I like honey. Who keeps bees?"
    fields["queries"][1]["query_hist"] = "What about Basel?"
    first, second, _ = dataset(fields).questions
    assert first.turns == ("I like honey.", "Who keeps bees?")
    assert second.turns == ("What about Basel?",)


def test_equal_references_are_the_same_evidence_and_equal_turns_are_not():
    fields = values()
    facts, chat = (context["blocks"] for context in fields["contexts"])
    facts += [block("copy", "MEMORY", facts[0]["text"], 9), block("other", "KNOWLEDGE", facts[0]["text"], 9)]
    chat[3]["text"] = chat[0]["text"]
    bees, _, pay = dataset(fields).questions
    assert bees.gold == (frozenset({"f0", "copy"}),)
    assert pay.gold[0] == {"u0", "a0"}


def test_a_copy_that_comes_later_is_no_evidence_yet():
    fields = values()
    facts = fields["contexts"][0]["blocks"]
    facts.append(block("copy", "MEMORY", facts[0]["text"], 9))
    fields["queries"][0]["upto"] = 5
    assert dataset(fields).questions[0].gold == (frozenset({"f0"}),)


def test_clauses_name_units():
    pay = cases()["pay"]
    assert pay.history.units == [[0], [1, 2], [3], [4]]
    assert pay.clauses == (frozenset({0, 1}), frozenset({1}))


def spoiled(*path, to):
    def spoil(fields):
        *way, last = path
        for step in way:
            fields = fields[step]
        if to is KeyError:
            del fields[last]
        else:
            fields[last] = to

    return spoil


BAD = [
    (spoiled("contexts", to=KeyError), "contexts None is NoneType, not a list"),
    (spoiled("contexts", to=[]), "contexts is empty"),
    (spoiled("contexts", 0, to=3), "contexts[0] 3 is int, not an object"),
    (spoiled("contexts", 1, "cid", to="facts"), "contexts[1].cid 'facts' comes twice"),
    (spoiled("contexts", 0, "cid", to=""), "contexts[0].cid is empty"),
    (spoiled("contexts", 0, "blocks", to={}), "contexts[0].blocks {} is dict, not a list"),
    (spoiled("contexts", 0, "blocks", 2, "type", to="NOTE"), "contexts[0].blocks[2].type 'NOTE' is not one of SYSTEM,"),
    (spoiled("contexts", 0, "blocks", 2, "t", to=-1), "contexts[0].blocks[2].t -1 is not a whole number from 0"),
    (spoiled("contexts", 0, "blocks", 2, "t", to=True), "contexts[0].blocks[2].t True is not a whole number"),
    (spoiled("contexts", 0, "blocks", 2, "t", to=1.5), "contexts[0].blocks[2].t 1.5 is not a whole number"),
    (spoiled("contexts", 0, "blocks", 2, "text", to=None), "contexts[0].blocks[2].text None is NoneType, not str"),
    (spoiled("contexts", 0, "blocks", 2, "id", to="f0"), "contexts[0].blocks[2].id 'f0' comes twice"),
    (spoiled("contexts", 0, "blocks", 2, "id", to="x" * 300), "contexts[0].blocks[2]: id "),
    (spoiled("contexts", 1, "blocks", 2, "references", to="a0"), "contexts[1].blocks[2].references 'a0' is str"),
    (spoiled("contexts", 1, "blocks", 2, "references", to=[1]), "contexts[1].blocks[2].references[0] 1 is int"),
    (spoiled("queries", to=[]), "queries is empty"),
    (spoiled("queries", 1, "qid", to="bees"), "queries[1].qid 'bees' comes twice"),
    (spoiled("queries", 1, "cid", to="none"), "queries[1].cid 'none' is no context"),
    (spoiled("queries", 1, "query", to=""), "queries[1].query is empty"),
    (spoiled("queries", 2, "upto", to=0), "queries[2].upto 0 is not a whole number from 1 to 6"),
    (spoiled("queries", 2, "upto", to=7), "queries[2].upto 7 is not a whole number from 1 to 6"),
    (spoiled("queries", 2, "upto", to=2), "queries[2].gold[1] 'r0' is no block that exists then"),
    (spoiled("queries", 0, "gold", to=[]), "queries[0].gold is empty"),
    (spoiled("queries", 0, "gold", to=[[]]), "queries[0].gold[0] is empty"),
    (spoiled("queries", 0, "gold", to=["f0"]), "queries[0].gold[0] 'f0' is str, not a list"),
    (spoiled("queries", 0, "gold", to=[["u0"]]), "queries[0].gold[0] 'u0' is no block that exists then"),
    (spoiled("queries", 0, "gold", to=[[0]]), "queries[0].gold[0] 0 is no block that exists then"),
    (spoiled("queries", 0, "query_hist", to="Other."), "queries[0].query_hist 'Other.' does not end with the query"),
    (spoiled("name", to=7), "name 7 is int, not str"),
]


@pytest.mark.parametrize(("spoil", "says"), BAD, ids=[says for _, says in BAD])
def test_what_is_wrong_is_named(spoil, says):
    fields = values()
    spoil(fields)
    with pytest.raises(DatasetError) as caught:
        dataset(fields)
    assert str(caught.value).startswith(f"file.json: {says}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "file.json: not JSON: "),
        (b"[]", "file.json: list is not an object with contexts and queries"),
        (b'{"contexts": 1, "contexts": 2}', "file.json: key 'contexts' comes twice"),
        (b"\xff", "file.json: not UTF-8 at byte 0"),
    ],
)
def test_what_is_no_json_is_refused(data, says):
    with pytest.raises(DatasetError, match=says):
        parse_dataset(data, "file.json")
