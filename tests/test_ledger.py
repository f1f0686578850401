"""What requests cost: bills, ledgers and tables of prices against numbers made by hand."""

from __future__ import annotations

import pytest

from pycontext import (
    BlockSet,
    ContextBlock,
    ContextManager,
    ContextType,
    Ledger,
    Price,
    ValidationError,
    prices,
    read_prices,
)

PRICE = Price("m", fresh=2.0, read=0.5, write=2.5)


def turn(n):
    return ContextBlock(f"t{n}", f"Turn {n} says a word.", 0.5, ContextType.AGENT, timestamp=n)


def test_one_request_costs_what_it_holds():
    selection = BlockSet([turn(0), turn(1)]).prune(100)
    bill = selection.cost(PRICE)
    assert bill.uncached_dollars == selection.tokens * 2.0 / 1e6
    assert bill.dollars == selection.tokens * 2.5 / 1e6
    assert bill.uncut_dollars == bill.dollars


def test_what_the_request_before_began_with_is_read():
    blocks = BlockSet([turn(0), turn(1)])
    first = blocks.prune(100)
    blocks.append(turn(2))
    second = blocks.prune(100)
    shared = first.tokens - 3
    bill = second.cost(PRICE, first)
    assert bill.dollars == pytest.approx((shared * 0.5 + (second.tokens - shared) * 2.5) / 1e6)


def test_a_ledger_is_the_sum_of_its_requests():
    blocks, ledger, last = BlockSet(), Ledger(), None
    dollars = uncached = uncut = 0.0
    whole = []
    for n in range(30):
        blocks.append(turn(n))
        selection = blocks.prune(120, policy="recent")
        ledger.add(selection)
        bill = selection.cost(PRICE, last)
        dollars, uncached = dollars + bill.dollars, uncached + bill.uncached_dollars
        whole.append(blocks.total_cost("openai"))
        uncut += bill.uncut_dollars
        last = selection
    bill = ledger.bill(PRICE)
    assert ledger.requests == bill.requests == 30
    assert bill.dollars == pytest.approx(dollars)
    assert bill.uncached_dollars == pytest.approx(uncached)
    assert bill.uncut_dollars == pytest.approx(uncut)
    assert ledger.uncut_tokens == sum(whole)
    assert bill.uncut_uncached_dollars == pytest.approx(sum(whole) * 2.0 / 1e6)
    assert "30 requests" in str(bill)


def test_a_manager_adds_up_where_it_is_told_to():
    manager = ContextManager(200, keeps_ledger=True)
    session = manager.create_session("a")
    for n in range(3):
        manager.add_context(session, f"Turn {n}.", ContextType.USER)
        manager.select(session)
    ledger = manager.ledger(session)
    assert ledger.requests == 3
    assert ledger.cached_tokens > 0
    assert ledger.bill("gpt-4.1-mini").model == "gpt-4.1-mini"
    other = ContextManager(200)
    with pytest.raises(ValidationError, match="keeps_ledger is False"):
        other.ledger(other.create_session("a"))


def test_a_table_of_prices_is_read_and_edited(tmp_path, monkeypatch):
    path = tmp_path / "prices.toml"
    path.write_text('["house-model"]\nfresh = 1\nread = 0.1\nwrite = 1.25\n')
    found = read_prices(path)
    assert found == {"house-model": Price("house-model", 1, 0.1, 1.25)}
    monkeypatch.setitem(prices.PRICES, "house-model", found["house-model"])
    assert BlockSet([turn(0)]).prune(100).cost("house-model").model == "house-model"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "is not TOML"),
        ("x = 1", "price of 'x' 1 has not just fresh, read and write"),
        ("[x]\nfresh = 1\nread = 1", "has not just fresh, read and write"),
        ("[x]\nfresh = -1\nread = 1\nwrite = 1", "fresh of 'x' -1 is not a number from 0 up"),
        ('[x]\nfresh = "1"\nread = 1\nwrite = 1', "fresh of 'x' '1' is not a number from 0 up"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, text, message):
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(ValidationError, match=message):
        read_prices(path)


def test_a_model_without_a_price_is_named():
    with pytest.raises(ValidationError, match="model 'nobody' has no price"):
        BlockSet([turn(0)]).prune(100).cost("nobody")
