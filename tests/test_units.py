# tests/test_units.py (new): what ties blocks together, after any history of a set
from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pycontext import BlockSet, ContextBlock, ContextType, Policy
from reference import select

AGENT, MEMORY, TOOL, USER = ContextType.AGENT, ContextType.MEMORY, ContextType.TOOL, ContextType.USER
IDS = [f"b{i}" for i in range(8)]


class UnitsMachine(RuleBasedStateMachine):
    """A set is changed in every way; what is tied and broken is always what the reference reads from the rows."""

    def __init__(self):
        super().__init__()
        self.set = BlockSet()

    def new(self, data):
        """A block with an id that is free, which others may reference since long."""
        free = [id for id in IDS if self.set.find(id) is None]
        return ContextBlock(
            data.draw(st.sampled_from(free)),
            data.draw(st.sampled_from(["same", "other"])),
            0.5,
            data.draw(st.sampled_from([AGENT, AGENT, TOOL, TOOL, TOOL, MEMORY, USER])),
            data.draw(st.sampled_from([{}] * 9 + [{"unit": "u"}])),
            timestamp=0,
            references=data.draw(st.lists(st.sampled_from(IDS), max_size=2)),
        )

    def row(self, data):
        return data.draw(st.integers(0, len(self.set) - 1))

    @precondition(lambda self: len(self.set) < len(IDS))
    @rule(data=st.data())
    def append(self, data):
        self.set.append(self.new(data))

    @precondition(lambda self: 0 < len(self.set) < len(IDS))
    @rule(data=st.data())
    def put(self, data):
        self.set[self.row(data)] = self.new(data)

    @precondition(lambda self: 0 < len(self.set) < len(IDS))
    @rule(data=st.data(), field=st.sampled_from(["id", "type", "references", "metadata"]))
    def edit(self, data, field):
        setattr(self.set[self.row(data)], field, getattr(self.new(data), field))

    @precondition(lambda self: self.set)
    @rule(data=st.data())
    def delete(self, data):
        del self.set[self.row(data)]

    @rule()
    def dedup(self):
        self.set.dedup()

    @invariant()
    def reasons_are_those_of_the_reference(self):
        expected = select(list(self.set), 2**40, lambda _: 0, Policy("all"))
        assert [entry["reason"] for entry in self.set.prune(2**40).to_dict()["blocks"]] == expected.reasons


TestUnitsMachine = UnitsMachine.TestCase
