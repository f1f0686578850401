"""What plug-ins count and render, made to fit the kernel."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pycontext import _core
from pycontext.counter import EncodingCounter, TokenCounter, count_with, whole_number
from pycontext.errors import BudgetExceededError, ContextError, PluginError, shown
from pycontext.formatter import Formatter, Render
from pycontext.messages.openai import to_blocks
from pycontext.selection import Rendering, Selection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pycontext.block import ContextBlock

Write = Callable[[Selection], Rendering]

# Where a rendering needs more than the costs said, the kernel is given less and runs again, so often at most.
_LOOKS: Final = 8


@dataclass(frozen=True, slots=True)
class Drawn:
    """How a caller's rendering is priced and written."""

    name: str
    """Shown in receipts."""
    costs_as: str
    """The rendering whose costs Rust knows."""
    costs: NDArray[np.uint32] | None
    """Tokens of each block as rendered, where a formatter says them."""
    write: Write | None
    """Renders what stays, where the sum of the costs may not be the count of the whole."""

    @classmethod
    def of(cls, render: Render, counter: TokenCounter, blocks: Callable[[], Iterable[ContextBlock]]) -> Drawn:
        """Read what a caller may say of the rendering; `blocks` makes a view for a formatter to look at.

        Raises:
            PluginError: a formatter raised, or said what is no number of tokens.
        """
        if isinstance(render, str):
            # That counts of pieces add up is known of the built-in encodings only.
            adds_up = render != "text" or isinstance(counter, EncodingCounter)
            return cls(render, render, None, None if adds_up else Selection.text)
        if isinstance(render, Formatter):
            name = type(render).__name__
            return cls(name, "text", _formatter_costs(render, blocks()), _writer(name, render.render))
        name = getattr(render, "__name__", type(render).__name__)
        return cls(name, "text", None, _writer(name, render))


def fit(run: Callable[[int], Selection], write: Write, counter: TokenCounter, available: int) -> Selection:
    """Look for a room whose selection fits as written; the last look is at the pinned blocks alone.

    What is written is taken to grow with what the costs said: the next room is what was used, times what there is, over
    what it came to. So the room is never given back when the costs were too low, and shrinks in every look.
    """
    room = available
    for look in range(_LOOKS):
        if look == _LOOKS - 1:
            room = 0
        try:
            selection = run(room)
        except BudgetExceededError as error:
            if room == available:
                raise
            # The pins need more than this look has: nothing smaller is left to try.
            selection = run(error.needed)
            room = 0
        used = selection.tokens
        rendering = write(selection)
        tokens = _count(rendering, counter)
        if tokens <= available:
            return selection.rendered_as(rendering, tokens, available)
        if room == 0:
            break
        room = max(min(used * available // tokens, used - 1), 0)
    message = f"budget of {available} tokens: the rendering needs {tokens} and cannot be cut to fit"
    raise BudgetExceededError(message, tokens, available, selection.kept_ids)


def count_costs(columns: _core.Columns, counter: TokenCounter, render: str) -> None:
    """Have everything counted that the costs of a rendering still need.

    Raises:
        ValidationError: there is no such rendering.
        PluginError: the counter raised or returned what it must not.
    """
    if not isinstance(counter, EncodingCounter):
        texts = list(dict.fromkeys(_core.uncounted(columns, render)))
        _core.set_counts(columns, render, dict(zip(texts, count_with(counter, texts), strict=True)))
    else:
        _core.fill_costs(columns, render)


def _formatter_costs(formatter: Formatter, blocks: Iterable[ContextBlock]) -> NDArray[np.uint32]:
    """Ask a formatter for the cost of every block and check what it says.

    Raises:
        PluginError: it raised, or said what is no number of tokens.
    """
    import numpy as np  # noqa: PLC0415  # takes longer to import than all of this package

    name = f"formatter {type(formatter).__name__}"
    costs = []
    for block in blocks:
        try:
            cost = formatter.cost(block)
        except Exception as cause:
            raise PluginError(f"{name} raised {type(cause).__name__} for the cost of {shown(block.id)}") from cause
        costs.append(whole_number(f"{name} said that {shown(block.id)} costs", cost))
    return np.array(costs, dtype=np.uint32)


def _writer(name: str, render: Callable[[list[ContextBlock]], object]) -> Write:
    """Wrap a plug-in's rendering so that its failures and its strange results are named."""

    def write(selection: Selection) -> Rendering:
        try:
            rendering = render(selection.kept)
        except Exception as cause:
            raise PluginError(f"formatter {name} raised {type(cause).__name__}") from cause
        try:
            if isinstance(rendering, str):
                rendering.encode()
                return rendering
            if isinstance(rendering, list):
                to_blocks(rendering)
                return rendering
        except UnicodeEncodeError:
            raise PluginError(f"formatter {name} returned a lone surrogate") from None
        except ContextError as cause:
            raise PluginError(f"formatter {name} returned a list that is no chat: {cause}") from cause
        raise PluginError(f"formatter {name} returned {type(rendering).__name__}, not str or a list of messages")

    return write


def _count(rendering: Rendering, counter: TokenCounter) -> int:
    if isinstance(rendering, str):
        return count_with(counter, [rendering])[0]
    blocks = to_blocks(rendering)
    is_plugin = not isinstance(counter, EncodingCounter)
    columns = _core.Columns(None if is_plugin else counter.name, counter.name)
    columns.extend(blocks, count_with(counter, [block.content for block in blocks]) if is_plugin else None)
    count_costs(columns, counter, "openai")
    return _core.total_cost(columns, "openai")
