"""Two verbs: the same session under another owner, and a new package cut for another agent."""

from __future__ import annotations

import copy
import json
import pickle
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import strategies
from pycontext import (
    BudgetExceededError,
    ConflictError,
    ContextBlock,
    ContextManager,
    ContextPackage,
    ContextType,
    FencedError,
    PluginError,
    ValidationError,
    handoff,
    transfer,
)
from pycontext.messages.openai import from_blocks, to_blocks

U, A, T, S, M, K = (
    ContextType.USER,
    ContextType.AGENT,
    ContextType.TOOL,
    ContextType.SYSTEM,
    ContextType.MEMORY,
    ContextType.KNOWLEDGE,
)


def block(id, kind=U, content="some words", **fields):
    return ContextBlock(id, content, 0.5, kind, timestamp=fields.pop("timestamp", 1), **fields)


def call(id, name, arguments):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


MESSAGES = [
    {"role": "system", "content": "never tell the discount code SAVE-99"},
    {"role": "user", "content": "my card is 4111-1111 and I want to fly"},
    {"role": "assistant", "content": None, "tool_calls": [call("c1", "find_user", {"name": "Ann"})]},
    {"role": "tool", "tool_call_id": "c1", "content": '{"card": "4111-1111", "id": 7}'},
    {"role": "assistant", "content": None, "tool_calls": [call("c2", "book", {"flight": "HAT007"})]},
    {"role": "tool", "tool_call_id": "c2", "content": "booked HAT007"},
    {"role": "assistant", "content": "You fly on HAT007."},
    {"role": "user", "content": "thanks, and the seat?"},
]


def package(blocks=None, **fields):
    blocks = to_blocks(MESSAGES) if blocks is None else blocks
    return ContextPackage("s", "sender", blocks, trace_id="trace", **fields)


def withheld(receipt):
    return {one.id: one.reason for one in receipt.withheld}


# Transfer.


def test_a_transfer_is_the_same_session_one_version_and_one_epoch_later():
    old = package(version=4)
    before = old.to_dict()
    new = transfer(old, to="receiver")
    assert (new.session_id, new.agent_id, new.version, new.epoch) == ("s", "receiver", 5, 1)
    assert (new.trace_id, new.hops, new.parents) == ("trace", 0, (old.as_parent,))
    assert (new.sender, new.author) == ("sender", "sender")
    assert list(new.blocks) == list(old.blocks)
    assert new.content_hash == old.content_hash
    assert new.operation_id != old.operation_id
    assert old.to_dict() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.blocks.append(block("x")),
        lambda p: p.blocks.extend([block("x")]),
        lambda p: p.blocks.insert(0, block("x")),
        lambda p: p.blocks.__delitem__(0),
        lambda p: p.blocks.__setitem__(0, block("x")),
        lambda p: p.blocks.__setitem__(slice(0, 1), [block("x")]),
        lambda p: p.blocks.reverse(),
        lambda p: p.blocks.clear(),
        lambda p: p.blocks.set_scores([0.1] * len(p.blocks)),
        lambda p: p.blocks.set_origin("x"),
        lambda p: p.blocks.keep(p.blocks.prune(60)),
        lambda p: setattr(p, "blocks", []),
        lambda p: transfer(p, to="third"),
    ],
)
def test_the_old_owner_is_fenced_off(change):
    old = package()
    new = transfer(old, to="receiver")
    before, fields = old.to_dict(), old.blocks.to_fields()
    with pytest.raises(FencedError, match=r"session 's' goes on under 'receiver', epoch 1"):
        change(old)
    assert old.to_dict() == before
    assert old.blocks.to_fields() == fields
    new.blocks.append(block("later"))
    assert len(new.blocks) == len(old.blocks) + 1


def test_what_is_written_to_a_block_of_a_fenced_session_is_said_once_and_counts_for_nothing():
    old = package()
    held = old.blocks[1]
    transfer(old, to="receiver")
    held.content = "changed"
    with pytest.raises(FencedError):
        old.blocks.prune(1_000)
    assert "changed" not in old.to_json()
    assert old.blocks.prune(1_000).kept_ids


def test_the_old_owner_is_refused_where_the_new_one_is_known():
    manager, elsewhere = ContextManager(), ContextManager()
    session = manager.create_session("sender")
    manager.add_context(session, "hello", U)
    copy = pickle.loads(pickle.dumps(manager.sessions[session]))
    new = transfer(manager.sessions[session], to="receiver")
    with pytest.raises(FencedError):
        manager.add_context(session, "more", U)
    elsewhere.import_session(new.to_bytes(), trust="self")
    # A copy that nobody fenced goes on, far ahead in versions, and is one epoch behind.
    for i in range(5):
        copy.blocks.append(block(f"late{i}"))
    assert copy.version > new.version
    with pytest.raises(ConflictError, match="epoch 0 is over, 1 is here under 'receiver'"):
        elsewhere.import_session(copy.to_bytes(), trust="self")
    elsewhere.add_context(session, "it goes on", U)
    # And where the session was, the new owner takes its place.
    manager.import_session(new.to_bytes(), trust="self")
    manager.add_context(session, "here as well", U)


# Handoff.


def test_a_handoff_is_a_new_package_that_says_where_it_comes_from():
    old = package(version=7)
    before = old.to_dict()
    made = handoff(old, to="receiver")
    new, receipt = made.package, made.receipt
    assert new.session_id != old.session_id
    assert (new.agent_id, new.version, new.hops, new.epoch, new.trace_id) == ("receiver", 1, 1, 0, "trace")
    (parent,) = new.parents
    assert (parent.session_id, parent.version, parent.content_hash) == ("s", 7, old.content_hash)
    assert (new.sender, new.author) == ("sender", "sender")
    assert ContextPackage.from_json(new.to_json()).sender == "sender"
    assert ContextPackage.from_bytes(new.to_bytes()).author == "sender"
    assert pickle.loads(pickle.dumps(new)).author == "sender"
    assert old.to_dict() == before
    assert withheld(receipt) == {"m0": "type"}
    assert (receipt.sender, receipt.to, receipt.session_id) == ("sender", "receiver", new.session_id)
    assert receipt.explain("m0") == "block 'm0' was withheld: type, SYSTEM may not travel"
    assert json.loads(json.dumps(receipt.to_dict()))["withheld"][0]["id"] == "m0"
    assert from_blocks(new.blocks) == MESSAGES[1:]
    assert receipt.tokens_before == old.blocks.total_cost("openai")
    assert receipt.tokens_after == new.blocks.total_cost("openai")


def test_system_travels_when_asked_and_types_that_are_not_allowed_do_not():
    made = handoff(package(), to="receiver", allow={S, U})
    assert [b.type for b in made.package.blocks] == [S, U, U]
    assert set(withheld(made.receipt).values()) == {"type"}
    made = handoff(package(), to="receiver", allow={U, T})
    # A result without its call says nothing that holds.
    assert [b.type for b in made.package.blocks] == [U, U]
    assert withheld(made.receipt)["m3"] == "orphan"


def test_the_budget_of_the_receiver_holds_and_units_stay_whole():
    blocks = [b for i in range(20) for b in renumbered(i)]
    old = ContextPackage("s", "sender", blocks)
    for budget in (60, 120, 200, 400):
        made = handoff(old, to="receiver", budget=budget)
        assert made.receipt.available == budget
        assert made.package.blocks.total_cost("openai") == made.receipt.tokens_after <= budget
        ids = {b.id for b in made.package.blocks}
        for b in blocks:
            if b.references:
                assert (b.id in ids) == (b.references[0] in ids)
        assert ids.isdisjoint(withheld(made.receipt))
        assert ids | set(withheld(made.receipt)) == {b.id for b in blocks}
    with pytest.raises(BudgetExceededError):
        handoff(old, to="receiver", budget=5)


def renumbered(i):
    for b in to_blocks(MESSAGES, start=100 * i):
        b.id = f"{i}-{b.id}"
        b.references = [f"{i}-{id}" for id in b.references]
        yield b


def test_pins_are_those_of_what_may_travel():
    blocks = [block("ask", U, "the open question"), block("fact", M), block("last", U, "secret " * 50)]
    made = handoff(ContextPackage("s", "a", blocks), to="b", allow={U, M}, redact=["secret "], budget=200)
    assert [b.id for b in made.package.blocks][-1] == "last"
    # The last question of the user does not travel here: then the one before it is pinned.
    blocks[2].type = A
    made = handoff(ContextPackage("s", "a", blocks), to="b", allow={U}, budget=12)
    assert [b.id for b in made.package.blocks] == ["ask"]


def test_calls_of_tools_that_the_receiver_lacks_become_text():
    made = handoff(package(), to="receiver", receiver_tools={"book"})
    messages = from_blocks(made.package.blocks)
    text = json.dumps(messages)
    assert [m["role"] for m in messages] == ["user", "assistant", "user", "assistant", "tool", "assistant", "user"]
    assert "find_user" not in str([m.get("tool_calls") for m in messages])
    assert messages[1] == {"role": "assistant", "content": '{"name":"find_user","arguments":{"name":"Ann"}}'}
    assert messages[2]["content"].startswith("[TOOL]\n")
    assert messages[3]["tool_calls"][0]["function"]["name"] == "book"
    assert "tool_call_id" in text
    assert made.receipt.as_text == ("m2", "m3")
    nothing = handoff(package(), to="receiver", receiver_tools=())
    assert "tool_calls" not in json.dumps(from_blocks(nothing.package.blocks))


def everywhere(package):
    """Everything that leaves: bytes, compressed bytes, text forms."""
    return [
        package.to_protobuf(),
        package.to_bytes(),
        package.to_json().encode(),
        json.dumps(package.to_dict()).encode(),
        json.dumps(from_blocks(package.blocks)).encode(),
        package.blocks.prune(1 << 40, render="text").text().encode(),
    ]


def test_what_was_withheld_is_not_in_the_bytes():
    secret = "4111-1111"
    blocks = [
        *to_blocks(MESSAGES),
        block(f"note-{secret}", M, "a plain fact", metadata={"who": secret, "topic": "seats"}),
        block(
            "next", K, "it refers", references=[f"note-{secret}", "gone"], metadata={"topic": secret, "unit": secret}
        ),
        block("twin", K, "it belongs", metadata={"unit": secret}),
        block(
            "escaped",
            A,
            "",
            metadata={"openai.tool_calls": json.dumps([call("c9", "pay", {"q": 'say "4111-1111"\n'})])},
        ),
        block(
            "hidden",
            A,
            "fine",
            metadata={"openai.audio": json.dumps({"t": "\u0034111-1111"}).replace("4111", "\\u0034111")},
        ),
    ]
    old = package(blocks)
    old = ContextPackage.from_dict({**old.to_dict(), "x-note": secret})
    # All of it is there before, so that its absence says something.
    for word in (secret, "HAT007", "SAVE-99", "u0034111", "who", "gone"):
        assert word.encode() in old.to_protobuf(), word
    made = handoff(old, to="receiver", redact=[secret, re.compile(r"HAT\d+")], metadata={"topic"})
    for data in everywhere(made.package):
        for word in (secret, "HAT007", "SAVE-99", "u0034111", "who", "gone"):
            assert word.encode() not in data, word
    receipt = made.receipt
    assert {"m1", "m3", "m4", "m5", "m6", f"note-{secret}", "next", "twin", "escaped", "hidden"} <= set(
        receipt.redacted
    )
    assert "as text" in receipt.explain("m3")
    ids = [b.id for b in made.package.blocks]
    assert ids[-5:] == ["redacted-1", "next", "twin", "escaped", "hidden"]
    by_id = {b.id: b for b in made.package.blocks}
    assert by_id["next"].references == ["redacted-1"]
    assert by_id["next"].metadata == {"topic": "(redacted)", "unit": "redacted-1"}
    # What is tied stays tied.
    assert by_id["twin"].metadata == {"unit": "redacted-1"}
    assert by_id["m7"].content == "thanks, and the seat?"


def test_what_fell_for_the_budget_is_not_in_the_bytes():
    blocks = [block(f"k{i}", K, f"passage number-{i}", references=[f"k{i - 1}"] if i else []) for i in range(50)]
    made = handoff(ContextPackage("s", "a", [*blocks, block("u", U, "?")]), to="b", budget=200)
    gone = withheld(made.receipt)
    assert gone
    for data in everywhere(made.package):
        for id in gone:
            assert not re.search(rb"\b" + id.encode() + rb"\b", data)
            assert not re.search(rb"number-" + id[1:].encode() + rb"\b", data)


def test_unknown_fields_do_not_travel_in_a_handoff_but_in_a_transfer():
    old = package([block("u")])
    with_unknown = ContextPackage.from_protobuf(old.to_protobuf() + b"\xfa\x3f\x06SECRET")
    assert b"SECRET" in transfer(with_unknown, to="b").to_protobuf()
    again = ContextPackage.from_protobuf(old.to_protobuf() + b"\xfa\x3f\x06SECRET")
    assert b"SECRET" not in handoff(again, to="b").package.to_protobuf()


@pytest.mark.parametrize("to", [None, "", "sender", 7, "a\nb"])
@pytest.mark.parametrize("verb", [handoff, transfer])
def test_to_nobody_and_to_itself(verb, to):
    old = package()
    before = old.to_dict()
    with pytest.raises(ValidationError, match="to "):
        verb(old, to=to)
    assert old.to_dict() == before
    old.blocks.append(block("still open"))


def test_after_16_hops_it_ends():
    one = package([block("u")])
    for hop in range(16):
        one = handoff(one, to=f"agent{hop}").package
        assert one.hops == hop + 1
    with pytest.raises(ValidationError, match="hops 16 are not below 16"):
        handoff(one, to="last")


@pytest.mark.parametrize(
    "options",
    [
        {"allow": {"USER"}},
        {"allow": "USER"},
        {"allow": 3},
        {"receiver_tools": "book"},
        {"receiver_tools": [3]},
        {"redact": "secret"},
        {"redact": [""]},
        {"redact": [b"x"]},
        {"redact": 3},
        {"metadata": "topic"},
        {"render": "html"},
        {"session_id": "a}b"},
        {"session_id": "s"},
        {"budget": 0},
        {"policy": "nothing"},
    ],
)
def test_bad_options(options):
    with pytest.raises(ValidationError) as caught:
        handoff(package(), to="receiver", **options)
    assert "\n" not in str(caught.value)


def test_a_function_that_redacts_is_a_plug_in():
    made = handoff(package(), to="receiver", redact=lambda text: text.replace("Ann", "A."))
    assert b"Ann" not in made.package.to_protobuf()
    with pytest.raises(PluginError, match="redact <lambda> raised ZeroDivisionError") as caught:
        handoff(package(), to="receiver", redact=lambda _: 1 / 0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(PluginError, match="redact <lambda> returned NoneType, not str"):
        handoff(package(), to="receiver", redact=lambda _: None)


@settings(max_examples=150, deadline=None)
@given(strategies.block_lists(), st.sampled_from([None, 40, 200, 1_000]), st.sets(st.sampled_from(list(ContextType))))
def test_whatever_is_handed_over_is_explained_and_fits(blocks, budget, allow):
    old = ContextPackage("s", "sender", blocks)
    before = old.to_dict()
    try:
        made = handoff(old, to="receiver", budget=budget, allow=allow, receiver_tools=())
    except BudgetExceededError:
        return
    finally:
        assert old.to_dict() == before
    new, receipt = made.package, made.receipt
    assert receipt.tokens_after == new.blocks.total_cost("openai") if len(new.blocks) else True
    assert receipt.tokens_after <= receipt.available
    travels = {b.id for b in new.blocks}
    assert travels | set(withheld(receipt)) == {b.id for b in blocks}
    assert travels.isdisjoint(withheld(receipt))
    assert {b.type for b in new.blocks} <= allow
    assert all(travels.issuperset(b.references) for b in new.blocks)
    assert ContextPackage.from_bytes(new.to_bytes()).to_dict() == new.to_dict()


def test_who_changes_a_package_answers_for_it():
    new = handoff(package(), to="receiver").package
    new.blocks.append(block("more"))
    assert (new.sender, new.author) == (None, "receiver")
    assert "sender" not in new.to_dict()


def one_call(arguments, result="fine"):
    function = {"name": "f", "arguments": arguments}
    made = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]}
    return [{"role": "user", "content": "go"}, made, {"role": "tool", "tool_call_id": "c", "content": result}]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"n":"secret"}', ' {"n":"s\\u0065cret"}', '\n{"n":"s\\u0065cret"}', '"s\\u0065cret"',
        '{"n":"s\\u0065cret","n":"x"}', '{"n":"s\\u0065cret","k":' + "1" * 5_000 + "}",
        '{"inner":"{\\"n\\":\\"s\\\\u0065cret\\"}"}', '{"n": NaN, "s": "s\\u0065cret"}', "[" * 2_000 + "s\\u0065cret",
    ],
    ids=str,
)  # fmt: skip
def test_escapes_of_json_hide_nothing(arguments):
    made = handoff(package(to_blocks(one_call(arguments))), to="receiver", redact=["secret"])
    for data in everywhere(made.package):
        assert b"secret" not in data
        assert b"u0065" not in data
    assert made.receipt.redacted == ("m1",)


def test_texts_and_metadata_are_seen_through_escapes_as_well():
    content = json.dumps({"name": "Müller 🙂"})
    blocks = [block("k", K, content, metadata={"note": content, "unit": "x"}, origin="Müller's desk"), block("u")]
    made = handoff(package(blocks), to="receiver", redact=["Müller", "🙂"], metadata={"note"})
    (fact, _) = made.package.blocks
    assert "(redacted) (redacted)" in fact.content
    assert "(redacted) (redacted)" in fact.metadata["note"]
    assert fact.origin == "(redacted)'s desk"
    # What says nothing of it keeps its escapes.
    same = handoff(package(blocks), to="receiver", redact=["Meier"], metadata={"note"}).package.blocks[0]
    assert (same.content, same.metadata["note"]) == (content, content)


def test_a_call_whose_results_stay_behind_becomes_text():
    made = handoff(package(to_blocks(one_call("{}"))), to="receiver", allow={U, A})
    assert [m.get("tool_calls") for m in from_blocks(made.package.blocks)] == [None, None]
    assert made.package.blocks[1].content == '{"name":"f","arguments":{}}'


def test_the_receipt_lists_what_travels_and_what_stays_apart():
    blocks = [block("k", K, "secret " * 50), block("u", U, "hi")]
    receipt = handoff(package(blocks), to="receiver", budget=20, redact=["secret"]).receipt
    assert (receipt.redacted, receipt.as_text, withheld(receipt)) == ((), (), {"k": "budget"})


def test_images_that_stay_behind_are_said():
    image = {"type": "image_url", "image_url": {"url": "https://example.org/secret.png"}}
    parts = [{"type": "text", "text": "see this"}, image, image]
    made = handoff(package(to_blocks([{"role": "user", "content": parts}])), to="receiver", redact=["secret"])
    assert made.package.blocks[0].content == "see this\n(2 parts that are no text stayed with the sender)"


def test_units_whose_names_are_redacted_stay_apart():
    blocks = [block(f"k{i}", K, f"fact {i}", metadata={"unit": f"secret{i % 2}"}) for i in range(4)]
    made = handoff(package(blocks), to="receiver", redact=[re.compile("secret.")])
    names = [b.metadata["unit"] for b in made.package.blocks]
    assert names[0] == names[2] != names[1] == names[3]


def test_a_trace_id_that_says_something_is_replaced():
    old = ContextPackage("s", "sender", [block("u")], trace_id="a secret trace")
    assert "secret" not in handoff(old, to="receiver", redact=["secret"]).package.trace_id
    assert handoff(old, to="receiver", redact=[re.compile("[0-9a-z]")]).package.trace_id


@pytest.mark.parametrize("verb", [handoff, transfer])
def test_what_is_no_package(verb):
    with pytest.raises(ValidationError, match="package 'x' is str, not a ContextPackage"):
        verb("x", to="b")
    with pytest.raises(ValidationError, match="parents 'x' is str, not a Parent"):
        ContextPackage("s", "a", parents=["x"])


@pytest.mark.parametrize("copied", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_a_fence_goes_with_copies(copied):
    old = package()
    transfer(old, to="receiver")
    with pytest.raises(FencedError):
        transfer(copied(old), to="third")
    blocks = copied(old.blocks)
    with pytest.raises(FencedError):
        blocks.clear()
    assert list(blocks) == list(old.blocks)


def test_the_header_is_behind_the_fence_as_well():
    old = package()
    version = old.version
    old.trace_id = "another"
    assert old.version == version + 1
    transfer(old, to="receiver")
    for name in ("agent_id", "trace_id"):
        with pytest.raises(FencedError):
            setattr(old, name, "x")
    assert (old.agent_id, old.trace_id) == ("sender", "another")
