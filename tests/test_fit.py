"""Renderings that Rust does not know: measured after the kernel, and cut until they fit."""

from __future__ import annotations

import pytest

from conftest import tiktoken_count
from pycontext import BudgetExceededError, ContextBlock, ContextType, PluginError, Policy, prune
from reference import count_messages


def block(id, kind=ContextType.MEMORY, content="fact", score=0.5, **fields):
    return ContextBlock(id, content, score, kind, timestamp=1, **fields)


USER = block("u", ContextType.USER, "and?")


def test_a_counter_whose_pieces_do_not_add_up_still_keeps_to_the_budget():
    class Jumpy:
        name, exact = "jumpy", True

        def count(self, text):
            return len(text.split()) + 50 * (text.count("[") > 1)

        def count_batch(self, texts):
            return [self.count(text) for text in texts]

    blocks = [block(f"b{i}", content=f"fact {i}") for i in range(40)]
    selection = prune(blocks, 100, render="text", counter=Jumpy())
    assert Jumpy().count(selection.text()) == selection.tokens <= 100


def test_a_rendering_that_just_fits_is_taken():
    class Words:
        def cost(self, block):
            return len(block.content.split())

        def render(self, blocks):
            return " ".join(block.content for block in blocks)

    blocks = [block(f"b{i}", content="a b") for i in range(2)] + [USER]
    policy = Policy("all", duplicates="keep")
    whole = tiktoken_count(Words().render(blocks))
    assert len(prune(blocks, whole, policy=policy, render=Words()).kept) == 3


def test_pins_that_cost_too_much_are_refused_whatever_they_render_to():
    class Cheap:
        def cost(self, _block):
            return 5

        def render(self, _blocks):
            return "x"

    with pytest.raises(BudgetExceededError):
        prune([USER], 2, render=Cheap())


def wide(count):
    """Blocks, and a formatter that writes nine tokens for each and says one."""

    class Wide:
        def cost(self, _block):
            return 1

        def render(self, blocks):
            return "".join(f"< x x x x x>{block.content}\n" for block in blocks)

    blocks = [ContextBlock(f"b{i}", f"w{i}", 0.5, ContextType.MEMORY, timestamp=i) for i in range(count)]
    return blocks, Wide()


@pytest.mark.parametrize("count", [46, 200, 1000])
def test_costs_that_were_too_low_leave_most_of_the_room_used(count):
    blocks, formatter = wide(count)
    selection = prune(blocks, 400, render=formatter)
    assert 300 < tiktoken_count(selection.text()) == selection.tokens <= 400


def test_a_rendering_of_fixed_length_and_one_that_explodes():
    class Headed:
        def cost(self, block):
            return block.token_count

        def render(self, blocks):
            return "head " * 100 + " ".join(block.content for block in blocks)

    class Explodes(Headed):
        def render(self, blocks):
            return " x" * len(blocks) ** 2

    blocks = [ContextBlock(f"b{i}", f"word{i} and more", 0.5, ContextType.MEMORY, timestamp=i) for i in range(200)]
    assert 300 < prune(blocks, 400, render=Headed()).tokens <= 400
    assert 0 < prune(blocks, 400, render=Explodes()).tokens <= 400


def test_pins_alone_are_the_last_try():
    class OneOrNothing:
        def cost(self, _block):
            return 1

        def render(self, blocks):
            return "x " * (5 if len(blocks) == 1 else 500)

    blocks = [ContextBlock(f"b{i}", "word", 0.5, ContextType.MEMORY, timestamp=i) for i in range(50)]
    blocks = [*blocks, ContextBlock("u", "so?", 0.5, ContextType.USER)]
    assert prune(blocks, 100, render=OneOrNothing()).kept_ids == ["u"]


def test_a_formatter_may_write_messages():
    class Chat:
        def cost(self, block):
            return block.token_count + 4

        def render(self, blocks):
            return [{"role": "user", "content": f"<{block.content}>"} for block in blocks]

    blocks = [ContextBlock(f"b{i}", f"note {i}", 0.5, ContextType.MEMORY, timestamp=i) for i in range(20)]
    selection = prune(blocks, 60, render=Chat())
    assert selection.tokens == count_messages(selection.messages()) <= 60
    selection.messages()[0]["content"] = "changed"
    assert selection.messages()[0]["content"] != "changed"


@pytest.mark.parametrize(
    ("rendering", "words"),
    [
        ("\ud800", "returned a lone surrogate"),
        ([{"role": "boss"}], "returned a list that is no chat: messages[0]: role 'boss'"),
        (7, "returned int, not str or a list of messages"),
    ],
)
def test_a_formatter_is_blamed_for_what_it_writes(rendering, words):
    class Strange:
        def cost(self, _block):
            return 1

        def render(self, _blocks):
            return rendering

    with pytest.raises(PluginError) as caught:
        prune([ContextBlock("a", "x", 0.5, ContextType.USER)], 10, render=Strange())
    assert f"formatter Strange {words}" in str(caught.value)
