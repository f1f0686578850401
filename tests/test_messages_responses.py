"""OpenAI Responses items to blocks and back."""

from __future__ import annotations

import copy
import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycontext import BlockSet, BudgetExceededError, ContextBlock, ContextType, ValidationError, prune
from pycontext.messages import anthropic, openai
from pycontext.messages.responses import from_blocks, to_blocks
from reference import count_messages
from shapes import WHY, as_json, claude_of, claude_refusal, deep, items_of, responses_refusal, textual
from strategies import JSON, TEXTS
from strategies import messages as chats

IMAGE = st.sampled_from(
    [
        {"type": "input_image", "image_url": "https://x.y/z.png", "detail": "low"},
        {"type": "input_image", "file_id": "file_1"},
    ]
)
INPUT = st.builds(lambda text: {"type": "input_text", "text": text}, TEXTS)
UNKNOWN_PART = st.builds(lambda value: {"type": "brand_new", "x": value}, JSON)
OUTPUT = st.builds(lambda text: {"type": "output_text", "text": text, "annotations": []}, TEXTS) | st.builds(
    lambda text: {"type": "refusal", "refusal": text}, TEXTS
)
SPOKEN = st.builds(
    lambda role, content: {"role": role, "content": content},
    st.sampled_from(["user", "system", "developer"]),
    TEXTS | st.lists(INPUT | IMAGE | UNKNOWN_PART, max_size=3),
)
TYPED = SPOKEN.map(lambda item: {"type": "message", **item, "status": "completed"})
ANSWER = st.builds(lambda content: {"role": "assistant", "content": content}, TEXTS) | st.builds(
    lambda parts: {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": parts},
    st.lists(OUTPUT, max_size=3),
)
REASONING = st.builds(lambda text: {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": text}, TEXTS)
OPAQUE = st.sampled_from(
    [
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "Z2VoZWlt"},
        {"type": "item_reference", "id": "msg_7"},
        {"id": "msg_8"},
        {"type": "brand_new", "x": [1, {"y": None}]},
    ]
)
OUTPUTS = TEXTS | st.lists(INPUT | IMAGE, max_size=2)


@st.composite
def exchanges(draw, ids=("c0", "c1", "c2")):
    """What the model writes, and the results of its calls in any order."""
    thought = draw(st.lists(REASONING, max_size=1))
    spoken = draw(st.lists(ANSWER | OPAQUE, max_size=2))
    calls, results = [], []
    for id in draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3, unique=True)):
        if draw(st.booleans()):
            calls.append({"type": "function_call", "call_id": id, "name": "f", "arguments": '{"x": 1}', "id": "fc_1"})
            results.append({"type": "function_call_output", "call_id": id, "output": draw(OUTPUTS)})
        else:
            calls.append({"type": "custom_tool_call", "call_id": id, "name": "g", "input": draw(TEXTS)})
            results.append({"type": "custom_tool_call_output", "call_id": id, "output": draw(TEXTS)})
    return [*thought, *spoken, *calls, *draw(st.permutations(results))]


@st.composite
def conversations(draw):
    items = []
    for _ in range(draw(st.integers(0, 5))):
        items += draw(
            exchanges()
            | st.tuples(SPOKEN | TYPED)
            | st.tuples(REASONING, ANSWER)
            | st.tuples(ANSWER)
            | st.tuples(OPAQUE, ANSWER)
        )
    return items


@given(items=conversations())
def test_a_conversation_comes_back(items):
    before = copy.deepcopy(items)
    blocks = to_blocks(items)
    assert as_json(from_blocks(blocks)) == as_json(before) == as_json(items)
    assert as_json(from_blocks(list(BlockSet(blocks)))) == as_json(before)


@given(item=st.dictionaries(st.sampled_from(["type", "id", "call_id", "x", "output", "name"]), JSON, max_size=5))
def test_an_item_of_any_type_comes_back(item):
    if isinstance(item.get("type"), str | None) and isinstance(item.get("output"), str | list | dict | None):
        assert as_json(from_blocks(to_blocks([item]))) == as_json([item])


def call(id="c", name="f", arguments="{}", **fields):
    return {"type": "function_call", "call_id": id, "name": name, "arguments": arguments, **fields}


def result(id="c", output="found", **fields):
    return {"type": "function_call_output", "call_id": id, "output": output, **fields}


def user(content):
    return {"role": "user", "content": content}


def assistant(content):
    return {"role": "assistant", "content": content}


def text(said, kind="output_text"):
    return {"type": kind, "text": said}


THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "Z2VoZWlt"}
PICTURE = {"type": "input_image", "image_url": "data:image/png;base64,AA=="}
SEARCH = {"type": "web_search_call", "id": "ws_1", "status": "completed"}


def shown(items, **options):
    return [(block.id, block.type.name, block.content, block.references) for block in to_blocks(items, **options)]


def test_what_the_model_writes_is_one_block():
    items = [
        user("look"),
        THOUGHT,
        assistant("hm"),
        call("a"),
        call("b"),
        result("b"),
        result("a", "1"),
        THOUGHT,
        assistant("so"),
    ]
    assert shown(items, start=3) == [
        ("m3", "USER", "look", []),
        ("m4", "AGENT", "hm", []),
        ("m8", "TOOL", "found", ["m4"]),
        ("m9", "TOOL", "1", ["m4"]),
        ("m10", "AGENT", "so", []),
    ]


@pytest.mark.parametrize(
    ("items", "starts"),
    [
        ([assistant("a"), assistant("b")], ["m0", "m1"]),
        ([assistant("a"), THOUGHT, assistant("b")], ["m0", "m1"]),
        ([assistant("a"), assistant("b"), call()], ["m0", "m1"]),
        ([THOUGHT, SEARCH, THOUGHT, assistant("a")], ["m0"]),
        ([THOUGHT, call("a"), THOUGHT, call("b"), assistant("c")], ["m0"]),
        ([assistant("a"), SEARCH, assistant("b")], ["m0", "m2"]),
        ([THOUGHT, user("a"), THOUGHT], ["m0", "m1", "m2"]),
    ],
)
def test_where_a_block_begins(items, starts):
    blocks = to_blocks(items)
    assert [block.id for block in blocks] == starts
    assert from_blocks(blocks) == items


def references(items):
    return [block.references for block in to_blocks(items) if block.type is ContextType.TOOL]


def test_results_are_paired_by_order_of_occurrence():
    assert references([call(), result(), call(), result()]) == [["m0"], ["m2"]]
    assert references([call(), call(), result(), result(), result()]) == [["m0"], ["m0"], ["m4.call"]]
    assert references([result()]) == [["m0.call"]]


@pytest.mark.parametrize(
    ("called", "answer"),
    [
        ({"type": "custom_tool_call", "call_id": "c", "name": "g", "input": "x"}, {"output": "y", "call_id": "c"}),
        ({"type": "computer_call", "call_id": "c", "id": "cu"}, {"call_id": "c", "output": {"type": "screenshot"}}),
        ({"type": "local_shell_call", "call_id": "c", "id": "ls"}, {"id": "c", "output": "y"}),
        ({"type": "shell_call", "call_id": "c"}, {"call_id": "c", "output": [{"stdout": "y"}]}),
        ({"type": "brand_new_call", "call_id": "c"}, {"call_id": "c"}),
        ({"type": "mcp_approval_request", "id": "c"}, {"type": "mcp_approval_response", "approval_request_id": "c"}),
    ],
)
def test_every_kind_of_call_is_an_exchange(called, answer):
    answer = {"type": f"{called['type']}_output", **answer}
    items = [user("q " * 40), called, answer, assistant("done"), user("next")]
    blocks = to_blocks(items)
    assert blocks[2].type is ContextType.TOOL
    assert blocks[2].references == ["m1"]
    assert from_blocks(blocks) == items
    dropped = prune([*blocks[:1], *blocks[2:]], 4000).dropped
    assert [(block.id, block.reason) for block in dropped] == [("m2", "orphan")]
    dropped = prune([*blocks[:2], *blocks[3:]], 4000).dropped
    assert [(block.id, block.reason) for block in dropped] == [("m1", "orphan")]
    chat = openai.from_blocks(blocks)
    assert chat[1]["tool_calls"][0]["id"] == chat[2]["tool_call_id"] == "c"


def test_a_result_whose_call_is_only_named_belongs_to_the_reference():
    items = [user("look"), {"type": "item_reference", "id": "fc_1"}, result(), result("d"), call("e"), result("e")]
    assert references(items) == [["m1"], ["m1"], ["m4"]]
    first = to_blocks(items[:2])
    assert [block.references for block in to_blocks(items[2:3], start=2, after=first)] == [["m1"]]
    assert not prune(to_blocks(items), 4000).dropped


def test_a_conversation_may_come_in_pieces():
    items = [user("look"), THOUGHT, call("a"), call("b"), result("b"), result("a"), assistant("so"), user("and?")]
    whole = to_blocks(items)
    for cut in (0, 1, 4, 5, 6, 7, 8):
        first = to_blocks(items[:cut])
        assert [*first, *to_blocks(items[cut:], start=cut, after=first)] == whole


@pytest.mark.parametrize(
    ("items", "edited"),
    [
        ([user("old")], [user("new")]),
        ([{**user("old"), "x": 1}], [{**user("new"), "x": 1}]),
        ([user([text("a", "input_text"), PICTURE])], [user([text("new", "input_text"), PICTURE])]),
        ([user([PICTURE])], [user([text("new", "input_text"), PICTURE])]),
        ([THOUGHT, assistant("a"), call()], [THOUGHT, assistant("new"), call()]),
        ([THOUGHT, assistant([text("a"), text("b")])], [THOUGHT, assistant([text("new"), text("")])]),
        ([THOUGHT, call()], [assistant("new"), THOUGHT, call()]),
        ([result(status="completed")], [result(output="new", status="completed")]),
        ([result(output=[PICTURE])], [result(output=[text("new", "input_text"), PICTURE])]),
        ([result(output=None)], [result(output="new")]),
        ([result(output={"x": 1})], [result(output={"x": 1}), user("new")]),
        ([SEARCH], [assistant("new"), SEARCH]),
    ],
)
def test_an_edit_wins_over_what_was_read(items, edited):
    (block,) = to_blocks(items)
    block.content = "new"
    assert from_blocks([block]) == edited


def test_an_edited_type_gives_the_role():
    said, found, told = to_blocks([user([PICTURE]), result(), {"role": "developer", "content": "x"}])
    said.type = ContextType.AGENT
    found.type = ContextType.MEMORY
    assert from_blocks([said, found, told]) == [
        assistant([PICTURE]), user("[MEMORY]\nfound"), {"role": "developer", "content": "x"},
    ]  # fmt: skip


def test_blocks_that_were_no_item_become_messages():
    kinds = [ContextType.SYSTEM, ContextType.AGENT, ContextType.KNOWLEDGE, ContextType.TOOL]
    blocks = [ContextBlock(kind.name, "[x]", 0.5, kind) for kind in kinds]
    assert from_blocks(blocks) == [
        {"role": "system", "content": "[x]"},
        assistant("[x]"),
        user("[KNOWLEDGE]\n\\[x]"),
        user("[TOOL]\n\\[x]"),
    ]


@given(items=conversations(), budget=st.integers(1, 400), data=st.data())
def test_what_stays_of_a_conversation_is_a_valid_request(items, budget, data):
    assert responses_refusal(items) is None
    blocks = to_blocks(items)
    for block in blocks:
        block.relevance_score = data.draw(st.sampled_from([0.1, 0.5, 0.9]))
    try:
        kept = prune(blocks, budget).kept
    except BudgetExceededError as error:
        kept = prune(blocks, error.needed + budget // 4).kept
    assert responses_refusal(from_blocks(kept)) is None
    assert claude_refusal(anthropic.from_blocks(kept), empty=True) is None


@given(chat=chats())
def test_a_chat_of_another_adapter_is_a_valid_request(chat):
    blocks = openai.to_blocks(chat)
    kept = prune(blocks, 10_000).kept
    items = from_blocks(kept)
    assert responses_refusal(items) is None
    calls = [item["call_id"] for item in items if item.get("type") == "function_call"]
    assert len(set(calls)) == len(calls)
    said = json.dumps(items)
    assert all(json.dumps(block.content)[1:-1] in said or block.content.startswith("[") for block in kept)


def test_calls_of_another_adapter_become_calls_here():
    function = {"name": "f", "arguments": '{"x": 1}'}
    custom = {"id": "b", "type": "custom", "custom": {"name": "g", "input": "free"}}
    image = {"type": "image_url", "image_url": {"url": "u", "detail": "low"}}
    calls = [{"id": "a", "function": function}, custom]
    chat = [
        {"role": "developer", "content": "be kind"},
        user([text("see", "text"), image, {"type": "audio"}]),
        {"role": "assistant", "content": "hm", "refusal": "no", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {"role": "tool", "tool_call_id": "a", "content": [text("1", "text")]},
        {"role": "assistant", "content": None},
        {"role": "tool", "tool_call_id": "lost", "content": "3"},
    ]  # fmt: skip
    said = [text("see", "input_text"), {"type": "input_image", "image_url": "u", "detail": "low"}]
    assert from_blocks(openai.to_blocks(chat)) == [
        {"role": "developer", "content": "be kind"},
        user([*said, text('{"type":"audio"}', "input_text")]),
        assistant([text("hm"), text("no")]),
        call("a", arguments='{"x": 1}'),
        {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "free"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": "2"},
        result("a", [text("1", "input_text")]),
        user("[TOOL]\n3"),
    ]


def test_equal_ids_of_another_adapter_are_told_apart_and_the_last_keeps_its_own():
    calls = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]}
    found = {"role": "tool", "tool_call_id": "c", "content": "found"}
    blocks = openai.to_blocks([calls, found, calls])
    blocks += to_blocks([result()], start=3, after=blocks)
    renamed = [call("c_2", arguments=""), result("c_2"), call(arguments=""), result()]
    assert from_blocks(blocks) == renamed


def test_a_session_goes_on_under_another_provider():
    items = [
        {"role": "developer", "content": "be kind"},
        user([text("see", "input_text"), PICTURE]),
        THOUGHT, assistant("hm"), SEARCH, call("a", arguments='{"x": 1}'),
        result("a", [text("1", "input_text"), PICTURE]),
    ]  # fmt: skip
    blocks = to_blocks(items)
    image = {"type": "image_url", "image_url": {"url": PICTURE["image_url"]}}
    function = {"name": "f", "arguments": '{"x": 1}'}
    calls = [{"id": "a", "type": "function", "function": function}]
    search = json.dumps(SEARCH, separators=(",", ":"))
    assert openai.from_blocks(blocks) == BlockSet(blocks).prune(20_000).messages() == [
        {"role": "developer", "content": "be kind"},
        user([text("see", "text"), image]),
        {**assistant([text("hm", "text"), text(search, "text")]), "tool_calls": calls},
        {"role": "tool", "tool_call_id": "a", "content": [text("1", "text"), text("[image]", "text")]},
    ]  # fmt: skip
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}}
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
    found = {"type": "tool_result", "tool_use_id": "a", "content": [text("1", "text"), picture]}
    assert anthropic.system_of(blocks) == "be kind"
    assert anthropic.from_blocks(blocks) == [
        user([text("see", "text"), picture]),
        assistant([text("hm", "text"), text(search, "text"), use]),
        user([found]),
    ]
    blocks += anthropic.to_blocks([assistant([use]), user([{**found, "content": "2"}])], start=7, after=blocks)
    assert from_blocks(blocks) == [*items, call("a_2", arguments='{"x":1}'), result("a_2", "2")]


@given(items=conversations())
def test_the_cost_is_never_less_than_the_chat_request_and_equal_where_it_is_exact(items):
    selection = prune(to_blocks(items), 2**40)
    rendered = [textual(message) for message in selection.messages()]
    assert selection.tokens >= count_messages(rendered)
    if selection.exact:
        assert selection.tokens == count_messages(rendered)


def test_plain_exchanges_are_exact_and_the_rest_is_estimated():
    def exact(*items):
        return prune(to_blocks(items), 2**40).exact

    assert exact(user("a"), assistant([text("b"), text("c")]), call(arguments='{"x": 1}', id="fc"), result(), user("d"))
    assert not exact(user([PICTURE]))
    assert not exact(THOUGHT, assistant("a"))
    assert BlockSet(to_blocks([user([PICTURE])])).total_cost("openai") > 1_400


@pytest.mark.parametrize(
    "item",
    [
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": WHY}]},
        {"type": "reasoning", "encrypted_content": WHY},
        call(arguments=WHY),
        call(name=WHY),
        call(note=WHY),
        {"type": "custom_tool_call", "call_id": "c", "name": "g", "input": WHY},
        {"type": "shell_call", "call_id": "c", "action": WHY},
        {"type": "brand_new", "x": WHY},
        user([text(WHY, "input_text")]),
        user([{"type": "input_file", "file_data": WHY}]),
        assistant([{"type": "refusal", "refusal": WHY}]),
        assistant([{**text("x"), "annotations": [WHY]}]),
        {**user("x"), "note": WHY},
        result(output=WHY),
        result(output=[text(WHY, "input_text")]),
        result(output={"x": WHY}),
        result(note=WHY),
    ],
)
def test_nothing_of_an_item_is_free(item):
    assert BlockSet(to_blocks([item])).total_cost("openai") > 50
    assert BlockSet(to_blocks([json.loads(json.dumps(item).replace("because ", ""))])).total_cost("openai") < 45


def test_exchanges_are_known_to_the_kernel():
    items = [user("q " * 30), call("a"), result("a", "r " * 30), assistant("done"), user("next"), THOUGHT, call("b")]
    blocks = to_blocks(items)
    selection = prune(blocks, 75)
    assert selection.kept_ids == ["m3", "m4", "m5"]
    assert '{"name":"f","arguments":{}}' in prune(blocks, 4000, render="text").text()


def test_a_text_is_kept_once():
    large = "x" * 700_000
    for item in (user([text(large, "input_text"), PICTURE]), result(output=large), call(arguments=large)):
        assert from_blocks(to_blocks([item])) == [item]


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ("hi", "items[1]: 'hi' is str, not a dict"),
        ({"type": 5}, "items[1]: type 5 is int, not str"),
        ({"type": "message", "content": "x"}, "items[1]: role None is not one of system, developer, user, assistant"),
        ({"role": "tool", "content": "x"}, "items[1]: role 'tool' is not one of system, developer, user, assistant"),
        (user(None), "items[1]: content None is NoneType, not str or list"),
        (user(["x"]), "items[1]: content[0] 'x' is str, not a dict"),
        (user([PICTURE, text(True, "input_text")]), "items[1]: content[1].text True is bool, not str"),
        (result(output=True), "items[1]: output True is bool, not str, list, dict or null"),
        (result(output=["x"]), "items[1]: output[0] 'x' is str, not a dict"),
        ({"type": "x", "y": float("nan")}, "items[1]: item [{'type': 'x', 'y': nan}] is not JSON: ValueError"),
        ({"type": "x", "y": (1,)}, "items[1]: item [{'type': 'x', 'y': (1,)}] does not come back from JSON"),
        ({"type": "x", 1: 2}, "items[1]: item [{'type': 'x', 1: 2}] does not come back from JSON"),
        ({"type": "x", "y": deep()}, "is not JSON: RecursionError"),
        (user("\ud800"), "items[1]: block 'm1': content '\\ud800' holds a lone surrogate"),
        ({"type": "x", "y": "\ud800"}, "items[1]: block 'm1': metadata"),
        (user("x" * (2 << 20)), "items[1]: block 'm1': content is 2097"),
    ],
)
def test_a_bad_item_is_named(item, words):
    with pytest.raises(ValidationError) as caught:
        to_blocks([user("fine"), item])
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", ["{broken", "7", "[7]"])
def test_metadata_that_is_not_what_it_should_be_is_named(value):
    block = ContextBlock("a", "x", 0.5, ContextType.USER, {"openai.items": value})
    with pytest.raises(ValidationError, match=r"block 'a': openai\.items "):
        from_blocks([block])
    with pytest.raises(ValidationError, match=r"block 'a': openai\.items "):
        openai.from_blocks([block])
    # Until then it is counted as the text it is.
    assert BlockSet([block]).total_cost("openai") > 0


@pytest.mark.parametrize("value", [None, 7, "text", {"role": "user"}])
def test_what_is_no_list_of_items_is_said(value):
    with pytest.raises(ValidationError, match="not a list of dicts"):
        to_blocks(value)


def test_recorded_conversations_come_back_and_fit_any_budget():
    lines = resources.files("pycontext").joinpath("data/telecom_traces.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        chat = json.loads(line)["messages"]
        items = items_of(chat)
        blocks = to_blocks(items)
        assert as_json(from_blocks(blocks)) == as_json(items)
        system, messages = claude_of(chat)
        assert responses_refusal(from_blocks(anthropic.to_blocks(messages, system=system))) is None
        whole = BlockSet(blocks).total_cost("openai")
        kept = []
        for share in (0.1, 0.3, 0.5, 0.8):
            try:
                kept = prune(blocks, int(whole * share)).kept
            except BudgetExceededError:
                continue
            assert responses_refusal(from_blocks(kept)) is None
        assert kept
