"""Arrow tables by the million: row by row what the library makes of one conversation, whatever the layout."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, ipc, parquet

import pycontext
from batch_reference import pruned_rows
from pycontext import BlockSet, ContextBlock, ContextType, Policy, ValidationError, _core
from pycontext.batch import frames, prune_batches, prune_files, prune_sorted
from pycontext.errors import BadLineError

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
        ("score", pa.float64()),
        ("flags", pa.list_(pa.bool_())),
    ]
)


def conversations(count, seed=1):
    """Parts of recorded traces, and some of odd shapes."""
    chance = random.Random(seed)
    traces = [json.loads(line)["messages"] for line in TRACES.read_text(encoding="utf-8").splitlines()]
    rows = []
    for number in range(count):
        trace = chance.choice(traces)
        start = chance.randrange(len(trace))
        chat = [dict(each) for each in trace[start : start + chance.randrange(12)]]
        for each in chat:
            if not chance.randrange(9):
                each["score"] = chance.choice([0.5, 1e22, 3.0])
            if not chance.randrange(9):
                each["flags"] = chance.choice([[True, None], []])
        rows.append({"key": f"s{number:05}", "messages": chat if chance.randrange(9) else None, "other": number})
    rows[1:1] = [{"key": "empty", "messages": [], "other": None}]
    return rows


def table_of(rows, lists=pa.list_):
    schema = pa.schema([("key", pa.string()), ("messages", lists(MESSAGE)), ("other", pa.int64())])
    return pa.Table.from_pylist(rows, schema=schema)


@pytest.mark.parametrize("query", [None, "last-user", "my phone has no service"])
@pytest.mark.parametrize("budget", [60, 700])
@pytest.mark.parametrize("on_overflow", ["drop", "keep", "null"])
def test_every_row_is_what_the_library_makes_of_it(query, budget, on_overflow):
    table = table_of(conversations(120))
    options = {"query": query, "on_overflow": on_overflow}
    pruned = prune_batches(table, budget, **options)
    out = pa.table(pruned)
    want = pruned_rows(table.to_pylist(), budget, **options)
    assert out.to_pylist() == want
    assert out.schema == table.schema
    out.validate(full=True)
    summary = pruned.summary
    assert summary["written"] == sum(row["messages"] is not None for row in want if row["key"] != "")
    assert summary["could_not_fit"] == len(pruned.problems)


@pytest.mark.parametrize("policy", ["relevance", "recent", "window", "evidence", Policy("mine", recency=0.5)])
def test_policies_are_those_of_the_library(policy):
    table = table_of(conversations(60, seed=2))
    out = pa.table(prune_batches(table, 400, policy=policy, threads=2)).to_pylist()
    assert out == pruned_rows(table.to_pylist(), 400, policy=policy)


def layouts(table):
    text = pa.array(table.column("key")).dictionary_encode()
    yield "sliced", pa.concat_tables([table.slice(0, 7), table.slice(7)]).slice(3, 40)
    yield "large lists", table_of(table.to_pylist(), pa.large_list)
    yield "dictionary beside", table.set_column(0, "key", text)
    yield "batch", table.combine_chunks().to_batches()[0]
    yield "reader", pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(max_chunksize=9)))


@pytest.mark.parametrize("number", range(5))
def test_the_layout_does_not_matter(number):
    table = table_of(conversations(50))
    name, source = list(layouts(table))[number]
    rows = list(layouts(table))[number][1]
    rows = (rows.read_all() if name == "reader" else pa.table(rows) if name == "batch" else rows).to_pylist()
    assert pa.table(prune_batches(source, 500)).to_pylist() == pruned_rows(rows, 500)


@pytest.mark.parametrize(
    "text", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())]
)
def test_texts_are_read_in_every_layout(text):
    chats = [[{"role": "user", "content": f"word {turn} " * 9} for turn in range(n)] for n in (3, 0, 5)]
    roles = pa.array([each["role"] for chat in chats for each in chat]).cast(text)
    contents = pa.array([each["content"] for chat in chats for each in chat]).cast(text)
    items = pa.StructArray.from_arrays([roles, contents], ["role", "content"])
    table = pa.table({"messages": pa.ListArray.from_arrays([0, 3, 3, 8], items)})
    out = pa.table(prune_batches(table, 60)).to_pylist()
    assert out == pruned_rows(table.to_pylist(), 60)
    assert 0 < len(out[2]["messages"]) < 5


BLOCKS = st.lists(
    st.fixed_dictionaries(
        {
            "content": st.sampled_from(["a b c", "[USER] no", "", "some words that are longer than others"]),
            "type": st.sampled_from(list(ContextType)),
            "score": st.floats(0, 1),
            "timestamp": st.integers(0, 50),
            "token_count": st.none() | st.integers(0, 60),
        }
    ),
    max_size=12,
)


@given(st.lists(BLOCKS, max_size=5), st.integers(1, 200), st.booleans(), st.booleans())
def test_rows_of_blocks_keep_what_a_set_of_them_keeps(rows, budget, has_ids, are_numbers):
    made = [
        [
            {
                **({"id": f"n{at}", "references": [f"n{at - 2}"] if at % 3 == 2 else []} if has_ids else {}),
                **block,
                "type": block["type"].value if are_numbers else block["type"].name.lower(),
            }
            for at, block in enumerate(row)
        ]
        for row in rows
    ]
    fields = [
        ("content", pa.string()), ("type", pa.int8() if are_numbers else pa.string()), ("score", pa.float64()),
        ("timestamp", pa.int64()), ("token_count", pa.uint32()),
    ]  # fmt: skip
    if has_ids:
        fields += [("id", pa.string()), ("references", pa.list_(pa.string()))]
    table = pa.table({"messages": pa.array(made, pa.list_(pa.struct(fields)))})
    out = pa.table(prune_batches(table, budget, on_overflow="null")).to_pylist()
    for row, left, items in zip(rows, out, table.to_pylist(), strict=True):
        blocks = [
            ContextBlock(
                f"n{at}" if has_ids else f"b{at}", block["content"], block["score"], block["type"], {},
                block["timestamp"], block["token_count"],
                references=[f"n{at - 2}"] if has_ids and at % 3 == 2 else [],
            )
            for at, block in enumerate(row)
        ]  # fmt: skip
        try:
            kept = BlockSet(blocks).prune(budget).chosen.rows()
        except pycontext.BudgetExceededError:
            assert left["messages"] is None
            continue
        assert left["messages"] == [items["messages"][at] for at in kept]


def message_table(**fields):
    return pa.table({"messages": [[{"role": "user", "content": "a"}], [fields]]})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (pa.table({"a": [1]}), "column 'messages' is not there"),
        (pa.table({"messages": [1]}), "column 'messages' is Int64, not a list of structs"),
        (pa.table({"messages": [[1]]}), "is a list of Int64, not of structs"),
        (pa.table({"messages": [[{"a": 1}]]}), "struct a has neither role"),
        (message_table(role="bad", content="x"), "row 1: messages.0.: role bad is not one of"),
        (pa.table({"messages": [[{"content": "a", "type": "bad"}]]}), "row 0: blocks.0.: type 'bad' is no type"),
        (
            pa.table({"messages": [[{"content": "a", "type": "user"}, {"content": None, "type": "user"}]]}),
            "row 0: blocks.1.: content is null",
        ),
        (pa.table({"messages": [[{"content": "a", "type": "user", "score": 2.0}]]}), "relevance_score 2 is not"),
        (pa.table({"messages": [[{"content": "a", "type": "user", "token_count": -1}]]}), "token_count -1 is not"),
        (pa.table({"messages": [[{"content": "a", "type": "user", "id": "x"}] * 2]}), "id 'x' is already the id"),
        (pa.table({"messages": [[{"role": "user", "content": "a", "x": b"b"}]]}), "x: field is Binary"),
    ],
)
def test_what_is_no_conversation_is_told_with_its_row(source, message):
    with pytest.raises(Exception, match=message) as caught:
        pa.table(prune_batches(source, 100))
    assert "\n" not in str(caught.value).strip()
    with pytest.raises(ValidationError, match=message):
        list(prune_batches(source, 100, threads=1))


@pytest.mark.parametrize("source", [None, [1], "text", {"messages": []}])
def test_what_is_no_table_is_refused(source):
    with pytest.raises(ValidationError, match="which has no __arrow_c_stream__"):
        prune_batches(source, 100)


def test_no_library_of_arrow_is_needed():
    # What comes out goes in again.
    blocks = BlockSet([ContextBlock("a", "text", 0.5, ContextType.USER)])
    pruned = prune_sorted(blocks.to_arrow(), 100, session="type")
    assert len(BlockSet.from_arrow(pruned)) == 1


def test_a_stream_is_read_bit_by_bit(monkeypatch):
    monkeypatch.setattr(frames, "_ROWS", 10)
    read = []

    def batches():
        for number in range(100):
            read.append(number)
            yield table_of(conversations(9)).combine_chunks().to_batches()[0]

    source = pa.RecordBatchReader.from_batches(table_of([]).schema, batches())
    out = pa.RecordBatchReader.from_stream(prune_batches(source, 500, threads=2))
    out.read_next_batch()
    assert len(read) < 10


FLAT = pa.schema([("session_id", pa.string()), *MESSAGE, ("other", pa.int64())])


def flat_rows(rows):
    return [
        {"session_id": row["key"], "other": at, **each}
        for row in sorted(rows, key=lambda row: row["key"])
        for at, each in enumerate(row["messages"] or [])
    ]


@pytest.mark.parametrize("size", [1, 3, 17, 10_000])
@pytest.mark.parametrize("budget", [60, 700])
def test_sorted_rows_are_pruned_session_by_session_wherever_the_batches_end(size, budget):
    # Other columns are no part of a message.
    rows = [row for row in conversations(60) if row["messages"]]
    for row in rows:
        for each in row["messages"]:
            each.pop("score", None)
            each.pop("flags", None)
    table = pa.Table.from_pylist(flat_rows(rows), schema=FLAT)
    reader = pa.RecordBatchReader.from_batches(FLAT, iter(table.to_batches(max_chunksize=size)))
    out = pa.table(prune_sorted(reader, budget)).to_pylist()
    want = pa.Table.from_pylist(flat_rows(pruned_rows(rows, budget)), schema=FLAT).to_pylist()
    positions = {(row["session_id"], row["other"]): row for row in table.to_pylist()}
    left = [positions[row["session_id"], row["other"]] for row in out]
    assert out == left
    bare = [{**row, "other": None} for row in out]
    assert bare == [{**row, "other": None} for row in want]


@pytest.mark.parametrize("keys", [["a", "b", "a"], ["b", "a"], [2, 1], [1, 3, 2], ["a", None]])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_rows_that_are_not_sorted_raise(keys, size):
    rows = [{"session_id": key, "role": "user", "content": "x"} for key in keys]
    table = pa.Table.from_pylist(rows)
    reader = pa.RecordBatchReader.from_batches(table.schema, iter(table.to_batches(max_chunksize=size)))
    with pytest.raises(ValidationError, match=r"input is not sorted by session_id|is null at row 1"):
        list(prune_sorted(reader, 100))


def test_a_set_goes_to_a_table_and_back():
    blocks = BlockSet(
        [
            ContextBlock("a", "é text", 0.25, ContextType.AGENT, {"unit": "u", "openai.tool_calls": "[]"}, 5),
            ContextBlock("b", "", 1.0, ContextType.TOOL, {}, 6, references=["a", "x"]),
            ContextBlock("c", "word " * 50, 0.0, ContextType.MEMORY, {}, 7, token_count=3),
        ]
    )
    table = pa.table(blocks.to_arrow())
    again = BlockSet.from_arrow(table)
    assert list(again) == list(blocks)
    assert again.content_hash == blocks.content_hash
    assert [block.token_count for block in again] == [block.token_count for block in blocks]
    assert BlockSet.from_arrow(pa.table({"content": ["a b"], "type": ["user"]}))[0].token_count == 2


def test_contents_of_a_table_stay_where_they_are():
    text = "a long text " * 20_000
    table = pa.table({"content": [text] * 100, "type": ["memory"] * 100, "token_count": [1] * 100})
    blocks = BlockSet.from_arrow(table)
    # Each shares the buffer of the table: together they are as large as that, not larger.
    assert blocks.nbytes < table.nbytes * 1.1
    address = table.column("content").chunk(0).buffers()[2].address
    assert address
    del table
    assert blocks[99].content == text


@pytest.mark.parametrize("bad", [None, [{"role": "x", "content": "a"}]])
@pytest.mark.parametrize(
    ("suffix_in", "suffix_out"), [("parquet", "parquet"), ("arrow", "parquet"), ("feather", "arrow")]
)
def test_files_of_rows_are_pruned_and_gone_on_with(tmp_path, suffix_in, suffix_out, bad):
    rows = conversations(3_000)
    if bad:
        rows[2_500]["messages"] = bad
    table = table_of(rows)
    source, out = tmp_path / f"in.{suffix_in}", tmp_path / f"out.{suffix_out}"
    if suffix_in == "parquet":
        parquet.write_table(table, source, row_group_size=700)
    elif suffix_in == "feather":
        feather.write_feather(table, source, compression="zstd")
    else:
        with ipc.new_file(source, table.schema) as writer:
            writer.write_table(table, max_chunksize=900)
    good = table.to_pylist()
    if bad:
        del good[2_500]
    if bad:
        with pytest.raises(BadLineError, match=r"role .*x.* is not one of"):
            prune_files(source, out, 400)
        assert not out.exists()
    summary = prune_files(source, out, 400, skip_bad=True)
    read = parquet.read_table(out) if suffix_out == "parquet" else ipc.open_file(out).read_all()
    assert read.to_pylist() == pruned_rows(good, 400)
    assert summary["bad_lines"] == bool(bad)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [source.name, out.name] + [f"{out.name}.rejects.jsonl"] * bool(bad or summary["could_not_fit"])
    )


def test_lines_do_not_go_to_rows(tmp_path):
    (tmp_path / "in.jsonl").touch()
    with pytest.raises(ValidationError, match="are not both lines or both rows"):
        prune_files(tmp_path / "in.jsonl", tmp_path / "out.parquet", 100)


def test_a_batch_says_what_it_is():
    batch = next(iter(_core.Batches(pa.table({"a": [1, 2, 3]}), 2)))
    assert (len(batch), batch.nbytes > 0) == (2, True)
