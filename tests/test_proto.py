"""The schema is the article's, for ever."""

from __future__ import annotations

import re
from pathlib import Path

from pycontext import ContextType

SCHEMA = (Path(__file__).parent.parent / "proto" / "pycontext" / "context.proto").read_text(encoding="utf-8")


def fields_of(message):
    body = re.search(rf"message {message} \{{(.*?)\n\}}", SCHEMA, re.DOTALL).group(1)
    lines = re.sub(r"//.*", "", body)
    return {
        name: (kind.strip(), int(number)) for kind, name, number in re.findall(r"([\w<>, ]+) (\w+) = (\d+);", lines)
    }


def test_numbers_and_types_of_the_article():
    assert re.search(r"^package pycontext;$", SCHEMA, re.MULTILINE)
    assert fields_of("ContextBlock") == {
        "id": ("string", 1),
        "timestamp": ("uint64", 2),
        "content": ("string", 3),
        "relevance_score": ("float", 4),
        "metadata": ("map<string, string>", 5),
        "type": ("ContextType", 6),
        "token_count": ("uint32", 7),
        "references": ("repeated string", 8),
        "exact_relevance_score": ("optional double", 9),
        "origin": ("string", 10),
    }
    assert fields_of("ContextPackage") == {
        "session_id": ("string", 1),
        "agent_id": ("string", 2),
        "blocks": ("repeated ContextBlock", 3),
        "metrics": ("ContextMetrics", 4),
        "version": ("uint32", 5),
        "trace_id": ("string", 6),
        "counter": ("string", 7),
        "operation_id": ("string", 8),
        "parents": ("repeated ContextParent", 9),
        "hops": ("uint32", 10),
        "epoch": ("uint32", 11),
        "sender": ("string", 12),
    }
    assert fields_of("ContextMetrics") == {
        "total_tokens": ("uint32", 1),
        "context_saturation": ("float", 2),
        "type_distribution": ("map<string, float>", 3),
    }


def test_the_types_are_those_of_the_schema():
    body = re.search(r"enum ContextType \{(.*?)\n\}", SCHEMA, re.DOTALL).group(1)
    assert {name: int(number) for name, number in re.findall(r"(\w+) = (\d+);", body)} == {
        kind.name: kind.value for kind in ContextType
    }
