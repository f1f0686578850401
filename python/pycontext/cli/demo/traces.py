"""The recorded tool traces that come with the package."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

__all__ = ["NAMESPACE", "SECONDS", "recorded"]

# Where and for how long a demo keeps sessions in a store that is named.
NAMESPACE: Final = "pycontext-demo"
SECONDS: Final = 3_600


def recorded() -> list[dict[str, Any]]:
    """Return the traces: `id`, `ticket`, and the chat messages, the first of which is the policy."""
    data = files("pycontext") / "data"
    # The policy is the first message of every trace; the sample holds it once.
    policy = {"role": "system", "content": (data / "telecom_policy.md").read_text(encoding="utf-8")}
    lines = (data / "telecom_traces.jsonl").read_text(encoding="utf-8").splitlines()
    traces = [json.loads(line) for line in lines]
    return [{**trace, "messages": [policy, *trace["messages"]]} for trace in traces]
