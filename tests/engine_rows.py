"""Conversations for the engines: parts of the recorded traces, and some of odd shapes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa

import pycontext

TRACES = Path(pycontext.__file__).parent / "data" / "telecom_traces.jsonl"
CALL = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
    ]
)
MESSAGE = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.string()),
        ("tool_calls", pa.list_(CALL)),
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
    ]
)
SCHEMA = pa.schema([("key", pa.string()), ("messages", pa.list_(MESSAGE)), ("other", pa.int64())])
OPTIONS = [{}, {"policy": "recent"}, {"query": "last-user"}, {"policy": pycontext.Policy("mine", recency=0.5)}]


def conversations(count=300):
    chance = random.Random(3)
    traces = [json.loads(line)["messages"] for line in TRACES.read_text(encoding="utf-8").splitlines()]
    rows = [{"key": "none", "messages": None, "other": None}, {"key": "é", "messages": [], "other": 1}]
    for number in range(count):
        trace = chance.choice(traces)
        start = chance.randrange(len(trace))
        rows.append({"key": f"s{number}", "messages": trace[start : start + chance.randrange(14)], "other": number})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


BAD = pa.Table.from_pylist([{"key": "bad", "messages": [{"role": "nobody"}], "other": 1}], schema=SCHEMA)
