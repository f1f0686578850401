"""Sessions whose tokens are counted by others than the default."""

from __future__ import annotations

import pytest

from pycontext import ContextError, CorruptPayloadError, PluginError, ValidationError, count_tokens
from stores import block, package
from strategies import Words

TEXT = "नमस्ते दुनिया, 안녕하세요"


class Failing(Words):
    def count_batch(self, texts):
        if any("bad" in text for text in texts):
            raise ZeroDivisionError
        return super().count_batch(texts)


def counts(package):
    return [block.token_count for block in package.blocks]


def test_a_session_keeps_its_encoding(home):
    store = home.open()
    store.save(package(block("a", TEXT), counter="cl100k_base"))
    store.append("s", [block("b", TEXT)])
    expected = count_tokens(TEXT, "cl100k_base")
    assert expected != count_tokens(TEXT)
    for one in (store, home.open()):
        loaded = one.load("s")
        assert (loaded.counter, counts(loaded)) == ("cl100k_base", [expected] * 2)


def test_a_store_counts_as_it_was_told(home):
    home.open().save(package(block("a", TEXT)))
    store = home.open(counter="cl100k_base")
    store.append("s", [block("b", TEXT)])
    assert counts(store.load("s")) == [count_tokens(TEXT, "cl100k_base")] * 2
    assert counts(home.open().load("s"))[0] == count_tokens(TEXT)


def test_a_plug_in_counts(home):
    store = home.open(counter=Words())
    store.save(package(block("a", "one two three"), counter=Words()))
    store.append("s", [block("b", "four five")])
    store.update_block("s", block("a", "one"))
    for one in (store, home.open(counter=Words())):
        loaded = one.load("s")
        assert (loaded.counter, counts(loaded)) == ("words", [1, 2])
    store.compact("s")
    assert counts(home.open(counter=Words()).load("s")) == [1, 2]


def test_a_session_of_a_plug_in_that_is_not_there_is_not_damaged(home):
    home.open(counter=Words()).save(package(block("a"), counter=Words()))
    for recover in ("none", "last-good"):
        with pytest.raises(ContextError, match="words") as caught:
            home.open().load("s", recover=recover)
        assert not isinstance(caught.value, CorruptPayloadError)
    assert counts(home.open(counter=Words()).load("s")) == [1]


def test_a_plug_in_that_fails_breaks_nothing(home):
    store = home.open(counter=Failing())
    store.save(package(block("a", "fine"), counter=Failing()))
    with pytest.raises(PluginError):
        store.append("s", [block("b", "bad")])
    assert store.inquire("s").version == 1
    # What others wrote it cannot count either, and says so.
    home.open(counter="o200k_base").append("s", [block("b", "bad")])
    for _ in range(2):
        with pytest.raises(PluginError):
            store.load("s")
    assert home.open(counter=Words()).load("s").blocks.ids() == ["a", "b"]


@pytest.mark.parametrize("counter", ["none", "", 7, object()])
def test_a_counter_is_one(home, counter):
    with pytest.raises(ValidationError, match="counter"):
        home.open(counter=counter)
