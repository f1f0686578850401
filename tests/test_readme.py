"""The README's code runs and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCS = (
    "agents.md", "counting.md", "evaluation.md", "handoff.md", "messages.md", "policies.md", "production.md",
    "batch.md", "relevance.md", "requests.md", "shortening.md",
    "sealing.md", "service.md", "statements.md", "stores.md", "versions.md",
)  # fmt: skip
TEXTS = [README, *((ROOT / "docs" / page).read_text(encoding="utf-8") for page in DOCS)]
EXAMPLES = re.findall(r"```python\n(.*?)```", "".join(TEXTS), re.DOTALL)


def test_there_is_an_example():
    assert EXAMPLES


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_example_runs_and_prints_what_it_says(code, capsys):
    exec(compile(code, "README.md", "exec"), {})
    # What a print prints stands in a comment beside it or below.
    said = re.findall(r"(?:^|  )# (.*)", code, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said


def test_the_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"^make ([a-z]+)", README, re.MULTILINE))
    assert named
    assert named <= targets


PAGES = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "benches/README.md",
    "benches/evaluation/README.md",
    "benches/evaluation/suites.md",
    "benches/profiles.md",
    "benches/tokens.md",
    "benches/batch.md",
    "docs/batch.md",
    "docs/command-line.md",
    "docs/engines.md",
    "docs/counting.md",
    "docs/handoff.md",
    "docs/messages.md",
    "docs/evaluation.md",
    "docs/policies.md",
    "docs/relevance.md",
    "docs/requests.md",
    "docs/sealing.md",
    "docs/shortening.md",
    "docs/statements.md",
    "docs/stores.md",
    "docs/versions.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"
