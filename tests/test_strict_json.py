"""JSON from outside: what Python's reader takes and nothing that is ambiguous."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import strategies
from pycontext import ContextPackage, Limits, ValidationError
from pycontext.strict_json import parse

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)


def refused(data, words, **options):
    with pytest.raises(ValidationError) as caught:
        parse(data, **options)
    message = str(caught.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 200


def depth_of(value):
    """How deep a value is, by walking it."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max(map(depth_of, inner), default=0)
    return 0


@given(value=VALUES, is_ascii=st.booleans(), indent=st.sampled_from([None, 0, 3]))
def test_what_can_be_read_is_read_as_python_reads_it(value, is_ascii, indent):
    has_half = any(0xD800 <= ord(c) < 0xE000 for c in json.dumps(value, ensure_ascii=False))
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    if has_half and not is_ascii:
        # As an escape it is lawful JSON: whoever reads the value says where it stands.
        refused(text, "lone surrogate")
        return
    for data in (text, text.encode()):
        assert parse(data) == json.loads(text)
    # The depth is found before anything is read, in strings and out of them.
    depth = depth_of(value)
    if depth > 1:
        refused(text, f"nested {depth} deep, over {depth - 1}", limits=Limits(json_depth=depth - 1))
    assert parse(text, limits=Limits(json_depth=max(depth, 1))) == json.loads(text)


@given(text=st.text('[]{}"\\,:1 au\u00e9', max_size=30))
def test_what_python_refuses_is_refused(text):
    try:
        expected = json.loads(text)
    except json.JSONDecodeError:
        refused(text, "not JSON")
        return
    # Of what Python takes, only a key that comes twice is refused here.
    try:
        assert parse(text) == expected
    except ValidationError as error:
        assert "comes twice" in str(error)
        objects = []
        json.loads(text, object_pairs_hook=objects.append)
        assert any(len(pairs) > len(dict(pairs)) for pairs in objects)


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 1}', '{"a": 1, "b": 2, "a": 3}', '[[{"x": {"a": [], "a": []}}]]', '{"a": {"b": 1}, "a": {}}',
        '{"a": 1, "\\u0061": 2}', '[1, {"k": {"a": null, "c": {}, "a": null}}]',
    ],
)  # fmt: skip
def test_a_key_that_comes_twice_is_refused_at_any_depth(text):
    refused(text, "key 'a' comes twice")


def test_keys_that_only_look_alike_are_two():
    assert parse('{"a": 1, "A": 2, "a ": 3, "\u00e9": 4, "e\u0301": 5}') == {
        "a": 1, "A": 2, "a ": 3, "\u00e9": 4, "e\u0301": 5,
    }  # fmt: skip


def test_half_a_million_keys_are_compared_in_time():
    text = "{" + ",".join(f'"k{i}":0' for i in range(300_000)) + ',"k299999":1}'
    refused(text, "key 'k299999' comes twice")


@pytest.mark.parametrize(("left", "right"), [("[", "]"), ('{"k":', "}"), ('[{"k":', "}]")])
def test_the_border_of_the_depth(left, right):
    each = left.count("[") + left.count("{")
    fits = left * (64 // each) + "0" + right * (64 // each)
    assert depth_of(parse(fits)) == 64
    refused(f"[{fits}]", "nested 65 deep, over 64")
    # Also where nobody ever closes them.
    refused(left * 100_000, "deep, over 64")
    # Brackets in strings are none.
    assert parse(json.dumps(left * 1000)) == left * 1000
    assert parse(json.dumps(['"' + left * 100 + "\\"])) == ['"' + left * 100 + "\\"]


@pytest.mark.parametrize("text", ['"abc"', '"é"', '"🙂"', "[1, 2]"])
def test_the_border_of_the_size_is_in_bytes(text):
    size = len(text.encode())
    for data in (text, text.encode()):
        assert parse(data, limits=Limits(package_bytes=size)) == json.loads(text)
        refused(data, f"JSON is {size} bytes, over {size - 1}", limits=Limits(package_bytes=size - 1))


def test_the_border_of_the_digits():
    for sign in ("", "-"):
        assert parse(sign + "9" * 1_000) == int(sign + "9" * 1_000)
        refused(sign + "9" * 1_001, "digits, over 1000")
        refused(f'{{"a": [{sign}{"9" * 5_000}]}}', "digits, over 1000")
    # More than Python itself reads.
    refused("9" * 5_000, "not JSON", limits=Limits(json_digits=10_000))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("NaN", "not JSON: NaN"), ("Infinity", "not JSON: Infinity"), ("-Infinity", "not JSON: -Infinity"),
        ('{"a": [NaN]}', "not JSON: NaN"), ("1e999", "number 1e999 is too large"),
        ("-1e999", "number -1e999 is too large"), ("1" + "0" * 400 + ".0", "is too large"),
        ('"\ud800"', "lone surrogate"), ("\ufeff{}", "not JSON"), (b"\xef\xbb\xbf{}", "not JSON"),
        ("{}".encode("utf-16"), "not UTF-8 at byte 0"), (b'{"a": "\xff"}', "not UTF-8 at byte 7"),
        (b'"\xc0\x80"', "not UTF-8 at byte 1"), (b'"\xed\xa0\x80"', "not UTF-8 at byte 1"), (b'"\xc3', "not UTF-8"),
        ("{} {}", "not JSON: Extra data"), ("{}x", "not JSON"), ("[1,]", "not JSON"), ("", "not JSON"),
        (b"", "not JSON"), (" \n", "not JSON"), ("{'a': 1}", "not JSON"), ("{a: 1}", "not JSON"), ("01", "not JSON"),
        ("+1", "not JSON"), (".5", "not JSON"), ("// x\n1", "not JSON"), ('"a\nb"', "not JSON"),
        ('"\\x41"', "not JSON"), ("null\x00", "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_strict_json_is_refused(text, words):
    refused(text, words)


def test_a_pair_of_surrogates_is_a_character():
    assert parse('"\\ud83d\\ude42 \\\\ud800"') == "🙂 \\ud800"


def test_small_numbers_are_read():
    assert parse("[1e-999, -0.0, 5e-324]") == [0.0, 0.0, 5e-324]
    assert math.copysign(1, parse("-0.0")) == -1


# Packages.


@given(package=strategies.packages())
def test_a_package_is_written_compact_and_as_it_is(package):
    text = package.to_json()
    assert json.loads(text) == package.to_dict()
    assert text == json.dumps(package.to_dict(), separators=(",", ":"), ensure_ascii=False)
    # Nobody's reader is stricter about numbers than this one.
    assert parse(text) == package.to_dict()
    text.encode()


def minimal(**changes):
    block = {"id": "b", "content": "数字 🙂", "relevance_score": 0.5, "type": "USER", "timestamp": 1}
    return {"session_id": "s", "agent_id": "a", "blocks": [block], **changes}


def test_non_ascii_is_kept():
    assert "数字 🙂" in ContextPackage.from_dict(minimal()).to_json()


@pytest.mark.parametrize(
    ("changes", "where"),
    [({"x": 1}, "package: key 'x'"), ({"blocks": [{**minimal()["blocks"][0], "x": 1}]}, "blocks[0]: key 'x'")],
)
def test_unknown_keys_are_kept_or_refused(changes, where):
    data = json.dumps(minimal(**changes))
    again = json.loads(ContextPackage.from_json(data).to_json())
    assert {**again, **again["blocks"][0]}["x"] == 1
    with pytest.raises(ValidationError) as caught:
        ContextPackage.from_json(data, strict=True)
    assert str(caught.value).startswith(f"{where} is not one of")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_no_number_that_is_none_gets_in_so_that_none_gets_out(number):
    for data in (json.dumps(minimal(x="?")).replace('"?"', number), json.dumps(minimal()).replace("0.5", number)):
        with pytest.raises(ValidationError):
            ContextPackage.from_json(data)
    with pytest.raises(ValidationError, match="package: key 'x' holds what JSON cannot say"):
        ContextPackage.from_dict(minimal(x=[float(number)]))


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), {"a": {"b": (1, b"x")}}, "\ud800"])
def test_unknown_keys_that_no_json_can_say_are_refused(value):
    with pytest.raises(ValidationError, match="package: key 'x' holds what JSON cannot say"):
        ContextPackage.from_dict(minimal(x=value))


@pytest.mark.parametrize("data", [None, 7, {}, bytearray(b"{}")])
def test_what_is_neither_text_nor_bytes_is_refused(data):
    with pytest.raises(ValidationError, match="not str or bytes"):
        ContextPackage.from_json(data)


@pytest.mark.parametrize("data", ["[]", "null", "7", '"s"', "{}"])
def test_json_that_is_no_package_is_refused(data):
    with pytest.raises(ValidationError, match="package"):
        ContextPackage.from_json(data)
