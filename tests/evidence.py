"""Labelled evidence that was made by hand, small enough to be counted by eye."""

from __future__ import annotations

import json

from pycontext.evaluation.dataset import parse_dataset
from pycontext.evaluation.history import Cases, History
from pycontext.evaluation.tally import Tally

TALLY = Tally()


def block(id, type, text, t=0, **more):
    return {"id": id, "type": type, "text": text, "t": t, **more}


FACTS = [
    "Anna keeps bees on the roof of her house.",
    "The train to Basel leaves at nine.",
    "Her brother repairs violins in Cremona.",
    "Lunch is served in the garden.",
    "The violins are sold in Basel.",
]

VALUES = {
    "name": "hand-made",
    "contexts": [
        {"cid": "facts", "blocks": [block(f"f{n}", "MEMORY", text, n) for n, text in enumerate(FACTS)]},
        {
            "cid": "chat",
            "blocks": [
                block("u0", "USER", "Book me on HAT069, I am mia_li_3668.", 0),
                block("a0", "AGENT", '[{"name": "find", "arguments": {"user": "mia_li_3668"}}]', 1),
                block("r0", "TOOL", '{"card": "credit_card_4421486", "dob": "1990-04-05"}', 2, references=["a0"]),
                block("a1", "AGENT", "Shall I pay with the card?", 3),
                block("u1", "USER", "Yes, go ahead.", 4),
                block("a2", "AGENT", "Done.", 5),
            ],
        },
    ],
    "queries": [
        {"qid": "bees", "cid": "facts", "query": "Who keeps bees?", "gold": [["f0"]]},
        {"qid": "basel", "cid": "facts", "query": "What about Basel?", "gold": [["f1", "f4"], ["f4"]]},
        {"qid": "pay", "cid": "chat", "query": "Yes, go ahead.", "gold": [["u0", "a0"], ["r0"]], "upto": 5},
    ],
}


def values():
    """A copy that a test may spoil."""
    return json.loads(json.dumps(VALUES))


def dataset(fields=None):
    return parse_dataset(json.dumps(VALUES if fields is None else fields).encode(), "file.json")


def cases(fields=None):
    found = dataset(fields)
    made = Cases(found, TALLY)
    return {question.qid: made.of(question) for question in found.questions}


def history(blocks):
    return History(blocks, TALLY)
