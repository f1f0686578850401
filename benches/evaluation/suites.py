"""The outside suites that need no model, measured into one page."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from benches.data import ROOT
from benches.evaluation import conformance, retain

PAGE = ROOT / "benches" / "evaluation" / "suites.md"

INTRODUCTION = """\
# Suites of others

Written by `python -m benches.evaluation.suites`, never by hand. Both suites come from PyPI (MIT licences) and run
without a model; neither is part of the package or its tests: `pip install compaction-conformance-kit==0.8.0
retainkit==0.1.0`.

What they measure is whether a text survives. That is necessary for a right answer, not sufficient.
"""

CONFORMANCE = """\
## Compaction: rules and facts over five rounds

`conformance.py` gives the statements that `pycontext.statements` finds, chosen within the budget of characters, one a
line. From the second round on it is given its own text back as one system turn. "Old values left" counts updates, said
again or in other words, whose old value is still in the text after the last round; "pairs apart" counts pairs of alike
facts that both must stay. The kit's generated sessions are no part of its own benchmark: subjects and phrasings change
there with the seed, and some updates have no value that can be seen as one ("no sesame at the counter", "no wool at the
counter"): there both rules are kept, on purpose.

The groups of words that tell what a statement is about were written with the kit's sources at hand, the sessions that
it holds out among them. So its sessions, whatever the seed, are no proof for other texts; `tests/labelled.py` has
sentences that are not from there, some of them measured once and never looked at before.
"""

RETAIN = """\
## Evidence for a question at a budget of tokens

`retain.py` is `prune` with the question as the query, whole turns kept. The fixture is synthetic and easy by its own
account: a fact and the question share their rare words. It shows that nothing is broken, not how good the choice is.
"""


def main() -> int:
    """Write the page; where a suite is not installed, say so and leave the page as it is."""
    missing = [suite.PACKAGE for suite in (conformance, retain) if not _is_installed(suite.PACKAGE)]
    if missing:
        print(f"not installed: {', '.join(missing)}; {PAGE.name} is left as it is", file=sys.stderr)
        return 1
    parts = (
        INTRODUCTION,
        CONFORMANCE,
        conformance.table(conformance.measure()),
        "",
        RETAIN,
        retain.table(retain.measure()),
    )
    PAGE.write_text("\n".join(parts) + "\n", encoding="utf-8")
    return 0


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
