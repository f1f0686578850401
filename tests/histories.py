"""Two histories of one session, as two owners of copies might write them."""

from __future__ import annotations

from copy import deepcopy

from hypothesis import strategies as st

from pycontext import ContextBlock, ContextPackage, ContextType
from strategies import block_lists

AGENT, MEMORY, TOOL = ContextType.AGENT, ContextType.MEMORY, ContextType.TOOL
TIMES = st.integers(0, 4)
# An id that both sides may take, and what they say then.
SHARED = st.sampled_from(["x0", "x1"])
WORDS = st.sampled_from(["one", "two"])


def package_of(blocks, agent_id="agent", version=1, operation_id="o", **header):
    return ContextPackage("s", agent_id, blocks, version=version, trace_id="t", operation_id=operation_id, **header)


@st.composite
def sides(draw, base, name, share):
    """A list of blocks after some changes; `share` has the ids of the blocks that this side may edit or remove."""
    blocks = deepcopy(base)
    for n in range(draw(st.integers(0, 5))):
        change = draw(st.sampled_from(["add", "exchange", "result", "named", "edit", "remove", "move", "recount"]))
        mine = [block for block in blocks if block.id in share]
        id = f"{name}{n}"
        if change == "exchange":
            time = draw(TIMES)
            calls = [ContextBlock(id, "call", 0.5, AGENT, timestamp=time)]
            calls += [
                ContextBlock(f"{id}.{i}", "result", 0.5, TOOL, timestamp=draw(TIMES), references=[id])
                for i in range(draw(st.integers(1, 2)))
            ]
            at = draw(st.integers(0, len(blocks)))
            blocks[at:at] = calls
        elif change == "result":
            asked = [block.id for block in blocks if block.type is AGENT]
            references = draw(st.lists(st.sampled_from(asked), min_size=1, max_size=2)) if asked else []
            blocks.append(ContextBlock(id, "late result", 0.5, TOOL, timestamp=draw(TIMES), references=references))
        elif change in ("add", "named"):
            free = draw(SHARED) if change == "add" else id
            unit = {"unit": draw(st.sampled_from(["u", "v"]))} if change == "named" else {}
            if all(block.id != free for block in blocks):
                block = ContextBlock(free, draw(WORDS), 0.5, MEMORY, unit, timestamp=draw(TIMES))
                blocks.insert(draw(st.integers(0, len(blocks))), block)
        elif mine:
            block = draw(st.sampled_from(mine))
            if change == "edit":
                field, value = draw(
                    st.sampled_from([("content", f"by {name}"), ("relevance_score", 0.25), ("metadata", {"by": "all"})])
                )
                setattr(block, field, value)
            elif change == "recount":
                block.token_count = draw(st.sampled_from([7, 8]))
                block.origin = draw(st.sampled_from([None, "peer"]))
            else:
                blocks.remove(block)
                if change == "move":
                    blocks.insert(draw(st.integers(0, len(blocks))), block)
    return blocks


@st.composite
def histories(draw):
    """A base and two packages that were made from it, which rarely, often or never touch the same blocks."""
    base = draw(block_lists())
    ids = [block.id for block in base]
    shares = draw(st.sampled_from([(ids, ids), (ids[::2], ids[1::2]), (ids[::2], ids[1::2]), (ids, [])]))
    packages = [package_of(base)]
    for name, share in zip("ab", shares, strict=True):
        header = {
            "agent_id": draw(st.sampled_from(["agent", "agent", "agent", "other", f"owner {name}"])),
            "version": draw(st.integers(1, 3)),
            "hops": draw(st.integers(0, 2)),
            "epoch": draw(st.integers(0, 2)),
            "operation_id": draw(st.sampled_from(["o", f"o{name}"])),
        }
        packages.append(package_of(draw(sides(base, name, share)), **header))
    return packages
