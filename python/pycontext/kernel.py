"""The one call of the packing kernel, and what a rendering that Rust does not know adds to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from pycontext import _core
from pycontext.counter import EncodingCounter, TokenCounter, count_with
from pycontext.errors import BudgetExceededError, ContextError, PluginError
from pycontext.messages.openai import to_blocks
from pycontext.selection import Selection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.block import ContextBlock
    from pycontext.formatter import Formatter
    from pycontext.policy import Policy

Rendering = str | list[dict[str, Any]]
Write = Callable[[Selection], Rendering]

# Where a rendering needs more than the costs said, the kernel runs again with so much less: four times at most.
_LOOKS: Final = 5


def select(
    columns: _core.Columns,
    counter: TokenCounter,
    *,
    available: int,
    policy: Policy,
    render: str,
    pins: list[str],
    relevance: NDArray[np.float64] | None = None,
    costs: NDArray[np.uint32] | None = None,
    write: Write | None = None,
    source: Sequence[ContextBlock] | None = None,
    name: str | None = None,
) -> Selection:
    """Run the kernel over columns.

    Args:
        columns: the blocks.
        counter: what counted them.
        available: tokens that there are for the blocks.
        policy: how to choose.
        render: name of the rendering, "openai" or "text".
        pins: ids of blocks that must stay besides those that always do.
        relevance: one number from 0 to 1 a block, when there is a query.
        costs: tokens of each block as rendered, instead of those that Rust counts for `render`.
        write: renders what stays, where the sum of the costs may not be the count of the whole.
        source: the caller's own objects for the blocks.
        name: of the rendering, where `costs` are not those of `render`.

    Raises:
        BudgetExceededError: the pinned blocks do not fit, or the rendering does not in five attempts.
        ValidationError: `render` or a pin is not known.
        PluginError: a plug-in raised or returned what it must not.
    """
    if costs is None:
        count_costs(columns, counter, render)
    if write is None and render == "text" and not isinstance(counter, EncodingCounter):
        # That counts of pieces add up is known of the built-in encodings only.
        write = Selection.text
    room, tokens = available, 0
    for _ in range(_LOOKS):
        try:
            chosen = _core.prune(
                columns,
                room,
                render,
                policy.order,
                policy.threshold,
                policy.duplicates,
                pins,
                relevance,
                costs,
            )
        except BudgetExceededError as error:
            if room == available:
                raise
            needed = error.needed + available - room
            raise _too_long(needed, available, error.blockers) from None
        selection = Selection(
            chosen,
            policy=policy.name,
            render=render if name is None else name,
            counter=counter.name,
            available=available,
            exact=counter.exact,
            source=source,
        )
        if write is None:
            return selection
        rendering = write(selection)
        tokens = _count(rendering, counter)
        if tokens <= available:
            return selection.rendered_as(rendering, tokens)
        excess = tokens - available
        # A rendering of twice the length or more exceeds by all there was: then the ratio says how much is left.
        room = room - excess if excess < room else room * available // tokens
        if room < 1:
            break
    raise _too_long(tokens, available, [])


def count_costs(columns: _core.Columns, counter: TokenCounter, render: str) -> None:
    """Have a plug-in count what the costs of a rendering still need; built-in encodings count in Rust."""
    if isinstance(counter, EncodingCounter):
        return
    texts = list(dict.fromkeys(_core.uncounted(columns, render)))
    _core.set_counts(columns, render, dict(zip(texts, count_with(counter, texts), strict=True)))


def formatter_costs(formatter: Formatter, blocks: Iterable[ContextBlock]) -> NDArray[np.uint32]:
    """Ask a formatter for the cost of every block and check what it says."""
    import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

    name = type(formatter).__name__
    costs = []
    for block in blocks:
        try:
            cost = int(formatter.cost(block))
        except Exception as cause:
            raise PluginError(f"formatter {name} raised {type(cause).__name__} for the cost of {block.id!r}") from cause
        if not 0 <= cost < 2**32:
            raise PluginError(f"formatter {name} said that {block.id!r} costs {cost}, not 0 to {2**32 - 1}")
        costs.append(cost)
    return np.array(costs, dtype=np.uint32)


def writer(name: str, render: Callable[[Selection], object]) -> Write:
    """Wrap a plug-in's rendering so that its failures and its strange results are named."""

    def write(selection: Selection) -> Rendering:
        try:
            rendering = render(selection)
        except ContextError:
            raise
        except Exception as cause:
            raise PluginError(f"formatter {name} raised {type(cause).__name__}") from cause
        if isinstance(rendering, str | list):
            return rendering
        raise PluginError(f"formatter {name} returned {type(rendering).__name__}, not str or a list of messages")

    return write


def _count(rendering: Rendering, counter: TokenCounter) -> int:
    if isinstance(rendering, str):
        return count_with(counter, [rendering])[0]
    if not isinstance(counter, EncodingCounter):
        columns = _core.Columns(None)
        blocks = to_blocks(rendering)
        columns.extend(blocks, count_with(counter, [block.content for block in blocks]))
        count_costs(columns, counter, "openai")
    else:
        columns = _core.Columns(counter.name)
        columns.extend(to_blocks(rendering))
    return _core.total_cost(columns, "openai")


def _too_long(needed: int, available: int, blockers: list[str]) -> BudgetExceededError:
    message = f"budget of {available} tokens: the rendering needs {needed} and cannot be cut to fit"
    return BudgetExceededError(message, needed, available, blockers)
