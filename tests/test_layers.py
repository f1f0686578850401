"""Who imports whom. A new edge fails here: change the design first, then this map and ARCHITECTURE.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import pycontext

ROOT = Path(__file__).parent.parent
PACKAGE = Path(pycontext.__file__).parent

# Each module, with all that it may import of this package. The order is the walk of a block.
MAY_IMPORT = {
    "_core": set(),
    "errors": set(),
    "models": set(),
    "estimate": {"_core", "errors"},
    "vocabulary_file": {"_core", "errors"},
    "counter": {"_core", "errors", "estimate", "models", "vocabulary_file"},
    "block": {"_core", "counter"},
    "limits": {"errors"},
    "strict_json": {"_core", "errors", "limits"},
    "jsonform": {"block", "errors"},
    "tool_schemas": {"counter", "errors"},
    "budget": {"counter", "errors", "tool_schemas"},
    "cache": {"errors"},
    "prices": {"errors"},
    "difference": {"cache"},
    "policy": {"_core", "block", "cache", "errors"},
    "formatter": {"block"},
    "query": {"errors"},
    "scorer": {"errors", "blockset"},  # the set is named in a signature only
    "messages.calls": set(),
    "messages.fields": {"block", "errors"},
    "messages.translation": {"block", "messages.fields"},
    "messages.openai": {
        "_core", "block", "errors", "messages.calls", "messages.fields", "messages.translation",
    },
    "messages.piece": {
        "block", "errors", "messages.calls", "messages.fields", "messages.openai", "messages.translation",
    },
    "messages.arrangement": {"block", "messages.calls", "messages.fields", "messages.openai", "messages.piece"},
    "messages.anthropic": {
        "block", "errors", "messages.arrangement", "messages.calls", "messages.fields", "messages.openai",
        "messages.translation",
    },
    "messages.items": {"block", "messages.calls", "messages.fields", "messages.openai", "messages.translation"},
    "messages.responses": {
        "block", "errors", "messages.calls", "messages.fields", "messages.items", "messages.openai",
        "messages.translation",
    },
    "arrays": {"errors"},
    "schema": {"block"},
    "metrics": {"block", "budget"},
    "selection": {
        "_core", "block", "cache", "counter", "difference", "errors", "messages.openai", "policy", "prices",
    },
    "fit": {"_core", "block", "counter", "errors", "formatter", "messages.openai", "selection"},
    "shorten": {"_core", "block", "blockset", "counter", "errors", "selection"},  # the set is named in a signature only
    "held": {"block", "errors"},
    "blocklist": {"_core", "block", "counter", "errors", "held"},
    "blockset": {
        "_core", "arrays", "block", "blocklist", "budget", "counter", "errors", "fit", "formatter", "limits",
        "metrics", "policy", "query", "scorer", "selection", "shorten",
    },
    "chat": {
        "blockset", "budget", "counter", "errors", "formatter", "messages.calls", "messages.fields", "messages.openai",
        "policy", "query", "scorer", "selection", "shorten",
    },
    "package": {
        "_core", "block", "blockset", "budget", "counter", "errors", "jsonform", "limits", "metrics", "strict_json",
    },
    "keys": {"_core", "budget", "errors"},
    "claims": {"_core", "budget", "errors", "limits", "strict_json"},
    "wire": {
        "_core", "block", "blockset", "budget", "claims", "counter", "errors", "keys", "limits", "package",
    },
    "version": {"_core", "block", "blockset", "budget", "counter", "errors", "limits", "package"},
    "store.key": {"_core", "errors", "package"},
    "store.version": set(),
    "store.request": set(),
    "store.hint": set(),
    "store.rules": {"store.request"},
    "store.finding": set(),
    "store.log": {"store.finding", "store.hint", "store.key", "store.request"},
    "store.advice": {"store.finding"},
    "store.sqlite_advice": {"store.finding"},
    "store.sqlite_fault": {"errors"},
    "store.sqlite_schema": {"errors"},
    "store.breaker": {"errors"},
    "store.change": {"_core", "blockset", "counter", "errors", "limits", "package"},
    "store.codec": {"_core", "claims", "errors", "keys", "limits", "store.key", "wire"},
    "store.replica": {
        "counter", "errors", "package", "store.change", "store.codec", "store.key", "store.request",
        "store.version",
    },
    "store.argument": {"_core", "budget", "errors", "package", "store.hint"},
    "store.answer": {"errors", "store.key", "store.replica", "store.request", "store.version"},
    "store.exchange": {
        "block", "blockset", "budget", "counter", "errors", "package", "store.answer", "store.argument",
        "store.change", "store.codec", "store.key", "store.replica", "store.request", "store.version",
    },
    "store.operations": {
        "_core", "block", "blockset", "budget", "counter", "errors", "package", "store.answer", "store.argument",
        "store.change", "store.exchange", "store.hint", "store.key", "store.replica", "store.request",
        "store.version",
    },
    "store.base": {"block", "errors", "package", "store.hint", "store.operations", "store.request", "store.version"},
    "store.memory": {"store.finding", "store.hint", "store.key", "store.request", "store.rules"},
    "store.threaded": {"store.hint", "store.key", "store.log", "store.request"},
    "store.sqlite": {
        "errors", "store.finding", "store.hint", "store.key", "store.request", "store.rules", "store.sqlite_advice",
        "store.sqlite_fault", "store.sqlite_schema",
    },
    "store.redis_address": {"errors"},
    "store.redis_connections": set(),
    "store.redis_fault": {"errors"},
    "store.redis_script": {"errors", "store.hint", "store.key", "store.request"},
    "store.redis": {
        "store.advice", "store.breaker", "store.finding", "store.hint", "store.key", "store.redis_address",
        "store.redis_connections", "store.redis_fault", "store.redis_script", "store.request",
    },
    "store.redis_async": {
        "store.advice", "store.breaker", "store.hint", "store.key", "store.redis", "store.redis_address",
        "store.redis_fault", "store.redis_script", "store.request",
    },
    "store.sync_store": {
        "block", "errors", "package", "store.argument", "store.base", "store.exchange", "store.finding", "store.hint",
        "store.key", "store.log", "store.operations", "store.request", "store.version",
    },
    "store.async_store": {
        "block", "errors", "package", "store.argument", "store.base", "store.exchange", "store.hint", "store.key",
        "store.log", "store.operations", "store.request", "store.version",
    },
    "store.url": {
        "counter", "errors", "keys", "limits", "store.async_store", "store.base", "store.codec", "store.exchange",
        "store.log", "store.memory", "store.operations", "store.redis", "store.redis_async", "store.sqlite",
        "store.sync_store", "store.threaded",
    },
    "store.distributed": {"block", "errors", "package", "store.base", "store.url", "store.version"},
    "ledger": {"prices", "selection"},
    "originals": {"_core", "block", "blockset", "counter"},
    "shadow": {"selection"},
    "session": {"_core", "errors", "ledger", "originals", "package", "selection", "shadow", "store.version"},
    "trust": {"block", "blockset", "budget", "counter", "errors", "limits", "package", "wire"},
    "mirror": {
        "blockset", "counter", "errors", "package", "selection", "session", "store.base", "store.url", "store.version",
        "trust", "version",
    },
    "manager": {
        "block", "blockset", "budget", "counter", "errors", "formatter", "ledger", "limits", "mirror", "originals",
        "package", "policy", "query", "scorer", "selection", "session", "shadow", "shorten", "store.base", "trust",
        "wire",
    },
    "recall": {"errors", "manager"},
    "handoff": {
        "_core", "block", "blockset", "budget", "errors", "messages.fields", "package", "policy", "scorer", "selection",
    },
    "optimize.loop": set(),
    "statements.statement": set(),
    "statements.words": set(),
    "statements.sentences": {"statements.words"},
    "statements.value": {"statements.words"},
    "statements.cues": {"statements.statement", "statements.value", "statements.words"},
    "statements.subject": {"statements.cues", "statements.value", "statements.words"},
    "statements.extract": {
        "errors", "statements.cues", "statements.sentences", "statements.statement", "statements.subject",
        "statements.value", "statements.words",
    },
    "statements.compact": {"block", "budget", "counter", "statements.extract", "statements.statement"},
    "scorers.tfidf": {"blockset"},
    "scorers.hybrid": {"blockset", "errors", "query", "scorer"},
    "scorers.embedding": {"block", "blockset", "errors", "query"},
    "scorers.minilm": {"errors"},
    "relevance": {"block", "blockset", "errors", "manager", "query", "scorer", "scorers.tfidf"},
    "optimize.window": {"block", "manager", "policy", "selection"},
    "optimize.realtime": {"block", "budget", "errors", "manager", "optimize.loop", "package", "policy", "selection"},
    "optimize.memory": {"manager"},
    "concurrency.holder": set(),
    "concurrency.line": {"concurrency.holder", "errors"},
    "concurrency.operations": {"concurrency.holder", "concurrency.line"},
    "concurrency.turnstile": {"concurrency.holder", "concurrency.line", "errors"},
    "concurrency.manager": {
        "budget", "concurrency.holder", "concurrency.operations", "concurrency.turnstile", "errors", "package",
    },
    "agents.client": set(),
    "agents.turn": set(),
    "agents.seconds": {"errors"},
    "agents.reply": {"agents.client", "errors"},
    "agents.fault": {"errors"},
    "agents.provider": {"agents.client", "agents.fault", "agents.reply", "agents.seconds", "budget", "errors"},
    "agents.anthropic_request": {"errors", "messages.anthropic", "messages.openai"},
    "agents.anthropic_reply": {"agents.client", "agents.reply", "errors"},
    "agents.anthropic_client": {
        "agents.anthropic_reply", "agents.anthropic_request", "agents.client", "agents.provider",
    },
    "agents.openai_reply": {"agents.client", "agents.reply", "errors"},
    "agents.openai_client": {"agents.client", "agents.openai_reply", "agents.provider"},
    "agents.retrying": {"agents.client", "agents.seconds", "budget", "errors"},
    "agents.form": {"errors", "strict_json"},
    "agents.tools": {"agents.client", "errors", "strict_json"},
    "agents.exchange": {"agents.client", "block", "blockset", "messages.openai"},
    "agents.request": {
        "_core", "agents.client", "block", "blockset", "budget", "counter", "errors", "manager", "policy", "scorer",
        "selection", "tool_schemas",
    },
    "agents.offload": {"manager"},
    "agents.base": {
        "agents.client", "agents.exchange", "agents.form", "agents.offload", "agents.request", "agents.tools",
        "agents.turn", "block", "budget", "errors", "manager", "policy", "scorer",
    },
    "agents.telecom": {"agents.base", "agents.client", "agents.form", "block", "errors", "manager"},
    "agents.replay": {"agents.client", "agents.turn", "errors", "messages.openai"},
    "agents.route": {"block", "budget", "errors", "handoff"},
    "agents.conversations": {"agents.route", "block", "errors", "handoff", "manager"},
    "agents.coordinator": {
        "_core", "agents.base", "agents.conversations", "agents.offload", "agents.route", "agents.turn", "block",
        "budget", "concurrency.manager", "errors", "manager", "package", "store.base", "store.distributed",
    },
    "service.endpoint": {"errors"},
    "service.labels": set(),
    "service.metrics": {"agents.turn", "errors", "service.endpoint", "service.labels"},
    "service.tracing": {"_core", "agents.turn"},
    "service.sampling": set(),
    "service.outbox": set(),
    "service.point": {"agents.turn"},
    "service.datadog_agent": {"service.point"},
    "service.datadog_api": {"service.point"},
    "service.monitor": {
        "agents.turn", "errors", "policy", "service.datadog_agent", "service.datadog_api", "service.labels",
        "service.outbox", "service.point", "service.sampling",
    },
    "service.arm": {"agents.turn", "errors", "package", "policy"},
    "service.comparison": {"budget", "errors", "service.arm"},
    "service.open_sessions": {"agents.offload", "errors", "manager"},
    "service.pilot_report": {"service.arm", "service.comparison"},
    "service.pilot": {
        "agents.base", "agents.offload", "agents.turn", "budget", "errors", "manager", "service.arm",
        "service.comparison", "service.open_sessions", "service.pilot_report", "store.base", "store.distributed",
        "store.url",
    },
    "service.http.refusal": {"errors"},
    "service.http.body": {"errors", "service.http.refusal", "strict_json"},
    "service.http.access": {"errors", "service.http.refusal"},
    "service.http.readiness": {"errors", "store.base"},
    "service.http.traffic": {"service.http.refusal"},
    "service.http.operation": {
        "agents.coordinator", "agents.turn", "service.http.body", "service.http.readiness", "service.http.traffic",
    },
    "service.http.openapi": {"block", "service.http.body", "service.http.operation"},
    "service.http.visit": {"agents.offload", "errors", "package", "service.http.operation"},
    "service.http.resource": {
        "agents.coordinator", "errors", "service.http.access", "service.http.body", "service.http.operation",
        "service.http.refusal",
    },
    "service.http.routes_blocks": {
        "block", "errors", "package", "service.http.body", "service.http.operation", "service.http.visit",
    },
    "service.http.routes_probes": {"service.http.operation", "service.http.refusal"},
    "service.http.routes_sessions": {
        "agents.offload", "budget", "errors", "package", "service.http.body", "service.http.operation",
        "service.http.visit",
    },
    "service.http.app": {
        "agents.coordinator", "budget", "errors", "service.http.access", "service.http.openapi",
        "service.http.operation", "service.http.readiness", "service.http.refusal", "service.http.resource",
        "service.http.routes_blocks", "service.http.routes_probes", "service.http.routes_sessions",
        "service.http.traffic",
    },
    "service.http.server": {
        "agents.coordinator", "budget", "errors", "service.http.access", "service.http.app", "service.http.operation",
        "service.http.traffic", "service.metrics",
    },
    "benchmark": {"block", "budget", "counter", "errors", "manager"},
    "late": set(),
    "evaluation.bootstrap": set(),
    "evaluation.dataset": {"block", "errors", "strict_json"},
    "evaluation.embedder": {"scorer", "scorers.embedding", "scorers.minilm"},
    "evaluation.latency": {"block", "blockset"},
    "evaluation.receiver": {"messages.openai", "package", "store.url"},
    "evaluation.tally": {"_core", "counter"},
    "evaluation.history": {"block", "blockset", "evaluation.dataset", "evaluation.tally", "messages.openai"},
    "evaluation.baselines.packing": {"evaluation.history", "evaluation.tally"},
    "evaluation.contender": {"evaluation.history", "messages.openai"},
    "evaluation.baselines.chance": {"evaluation.baselines.packing", "evaluation.contender", "evaluation.history"},
    "evaluation.baselines.identifiers": {"evaluation.baselines.packing", "evaluation.contender", "evaluation.history"},
    "evaluation.baselines.oracle": {"evaluation.baselines.packing", "evaluation.contender", "evaluation.history"},
    "evaluation.baselines.ranked": {"evaluation.baselines.packing", "evaluation.contender", "evaluation.history"},
    "evaluation.baselines.article": {"block", "evaluation.baselines.ranked", "evaluation.history"},
    "evaluation.baselines.bm25": {"evaluation.baselines.ranked"},
    "evaluation.baselines.embedded": {
        "evaluation.baselines.bm25", "evaluation.baselines.ranked", "evaluation.contender",
        "evaluation.history", "scorer",
    },
    "evaluation.baselines.recency": {"evaluation.baselines.ranked", "evaluation.history"},
    "evaluation.judgement": {"block", "evaluation.contender", "evaluation.history", "evaluation.tally"},
    "evaluation.ours": {"errors", "evaluation.contender", "evaluation.history", "policy", "scorer", "selection"},
    "evaluation.field": {
        "evaluation.baselines.article", "evaluation.baselines.bm25", "evaluation.baselines.chance",
        "evaluation.baselines.embedded", "evaluation.baselines.identifiers", "evaluation.baselines.oracle",
        "evaluation.baselines.recency", "evaluation.contender", "evaluation.ours", "scorer",
    },
    "evaluation.relay": {
        "block", "errors", "evaluation.dataset", "evaluation.history", "evaluation.ours", "evaluation.receiver",
        "evaluation.tally", "handoff", "package", "store.url",
    },
    "evaluation.spending": {
        "block", "blockset", "cache", "errors", "evaluation.tally", "messages.openai", "policy", "prices", "selection",
    },
    "evaluation.trial": {
        "budget", "errors", "evaluation.bootstrap", "evaluation.contender", "evaluation.dataset",
        "evaluation.history", "evaluation.judgement", "evaluation.tally",
    },
    "evaluation.verdict": {
        "evaluation.baselines.recency", "evaluation.bootstrap", "evaluation.contender", "evaluation.trial",
    },
    "evaluation.report": {
        "_core", "evaluation.bootstrap", "evaluation.latency", "prices", "evaluation.relay",
        "evaluation.spending", "evaluation.tally", "evaluation.trial", "evaluation.verdict",
    },
    "evaluation.plots": {
        "evaluation.contender", "prices", "evaluation.report", "evaluation.trial",
        "evaluation.verdict",
    },
    "evaluation.sections": {
        "cache", "evaluation.bootstrap", "evaluation.contender", "prices", "evaluation.report",
        "evaluation.trial", "evaluation.verdict",
    },
    "adapters": set(),
    "adapters.langchain": {
        "block", "blockset", "budget", "counter", "errors", "messages.openai", "policy", "selection",
    },
    "adapters.openai_agents": {
        "block", "blockset", "budget", "counter", "errors", "messages.responses", "policy", "selection",
    },
    "batch.markup": set(),
    "batch.figures": set(),
    "batch.style": {"batch.markup"},
    "batch.drawing": {"batch.figures", "batch.markup"},
    "batch.order": set(),
    "batch.progress": {"errors"},
    "batch.task": {"_core", "budget", "counter", "errors", "policy", "query"},
    "batch.tally": {"_core"},
    "batch.frames": {
        "_core", "batch.order", "batch.tally", "batch.task", "budget", "counter", "errors", "policy", "query",
    },
    "batch.files": {"_core", "errors"},
    "batch.part": set(),
    "batch.duplicates": {"_core"},
    "batch.json_lines": {
        "_core", "batch.duplicates", "batch.files", "batch.order", "batch.part", "batch.task",
    },
    "batch.rows": {"_core", "batch.part", "batch.tally", "batch.task", "errors"},
    "batch.run": {
        "batch.json_lines", "batch.order", "batch.part", "batch.progress", "batch.rows", "batch.tally", "batch.task",
        "budget", "counter", "errors", "policy", "query",
    },
    "batch.report": {"batch.drawing", "batch.figures", "batch.markup", "batch.style", "selection"},
    "adapters.daft": {"batch.frames", "errors"},
    "adapters.ray_data": {"batch.frames"},
    "cli.exits": set(),
    "cli.console": {"block"},
    "cli.conversations": {"blockset", "counter", "errors", "messages.openai", "strict_json"},
    "cli.options": set(),
    "cli.source": {"cli.console", "cli.conversations", "counter", "errors"},
    "cli.prune": {
        "budget", "cli.console", "cli.conversations", "cli.exits", "cli.options", "cli.source", "counter", "errors",
        "policy", "selection",
    },
    "cli.batch": {
        "batch.part", "batch.report", "batch.run", "budget", "cli.console", "cli.exits", "cli.options", "selection",
    },
    "cli.why": {"cli.console", "cli.conversations", "errors", "selection"},
    "cli.inspect": {
        "block", "cli.console", "cli.conversations", "cli.exits", "cli.options", "cli.source", "cli.why", "counter",
        "errors", "policy", "selection",
    },
    "cli.count": {"cli.console", "cli.conversations", "cli.exits", "cli.options", "cli.source", "counter", "errors"},
    "cli.eval": {
        "cli.console", "cli.exits", "cli.options", "errors", "evaluation.contender", "evaluation.dataset",
        "evaluation.embedder", "evaluation.field", "evaluation.ours", "evaluation.plots", "evaluation.relay",
        "evaluation.report", "evaluation.sections", "evaluation.tally", "evaluation.trial",
    },
    "cli.store.address": {"cli.console", "errors", "store.sync_store", "store.url"},
    "cli.store.ls": {
        "cli.console", "cli.exits", "cli.store.address", "errors", "store.finding", "store.request",
    },
    "cli.store.show": {
        "cli.console", "cli.exits", "cli.options", "cli.store.address", "package", "store.finding", "store.request",
    },
    "cli.store.copy": {"cli.console", "cli.exits", "cli.store.address", "errors", "store.sync_store"},
    "cli.store.gc": {
        "cli.console", "cli.exits", "cli.options", "cli.store.address", "errors", "store.finding", "store.sync_store",
    },
    "cli.store.purge": {"cli.console", "cli.exits", "cli.store.address", "errors"},
    "cli.store.doctor": {
        "block", "cli.console", "cli.exits", "cli.store.address", "errors", "package", "store.finding",
        "store.sync_store",
    },
    "cli.store.command": {
        "cli.options", "cli.store.address", "cli.store.copy", "cli.store.doctor", "cli.store.gc", "cli.store.ls",
        "cli.store.purge", "cli.store.show",
    },
    "cli.demo.traces": set(),
    "cli.demo.command": {"cli.demo.traces", "cli.exits", "cli.options"},
    "cli.demo.prune": {
        "blockset", "cli.console", "cli.demo.traces", "cli.exits", "cli.store.address", "counter", "errors",
        "messages.openai", "package", "selection", "store.finding",
    },
    "cli.demo.telecom": {
        "agents.base", "agents.client", "agents.coordinator", "agents.replay", "agents.telecom", "agents.turn",
        "block", "blockset", "cli.console", "cli.demo.traces", "cli.exits", "cli.store.address", "counter", "errors",
        "manager", "messages.openai", "store.base",
    },
    "cli.main": {"_core", "cli.exits", "cli.options", "errors"},  # and, by name, the command
}  # fmt: skip

# Names and nothing else.
FACADES = {
    "",
    "messages",
    "store",
    "agents",
    "concurrency",
    "optimize",
    "scorers",
    "statements",
    "service",
    "service.http",
    "evaluation",
    "evaluation.baselines",
    "batch",
    "cli",
    "cli.demo",
    "cli.store",
    "__main__",
}


def name_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imports_of(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            # `from pycontext.messages import openai` names a module, `from pycontext.block import X` does not.
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if is_module(name) else node.module for name in names]
        else:
            continue
        # The package itself is a name that no map has: its face imports everything.
        own = (name for name in names if name.partition(".")[0] == "pycontext")
        found |= {name.removeprefix("pycontext.") for name in own}
    return found


def is_module(name):
    path = PACKAGE.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").exists() or path.with_suffix(".pyi").exists()


def test_no_module_imports_what_the_map_does_not_allow():
    modules = {name_of(path): imports_of(path) for path in PACKAGE.rglob("*.py")}
    actual = {name: found for name, found in modules.items() if name not in FACADES}
    actual["_core"] = set()
    allowed = "\n".join(f"{name} <- {', '.join(sorted(found)) or '-'}" for name, found in MAY_IMPORT.items())
    for name, found in actual.items():
        assert name in MAY_IMPORT, f"{name} is new; the map is:\n{allowed}"
        assert found == MAY_IMPORT[name], f"{name} imports {sorted(found)}; the map is:\n{allowed}"
    assert set(actual) == set(MAY_IMPORT)


def test_the_map_goes_one_way():
    order = list(MAY_IMPORT)
    for name, found in MAY_IMPORT.items():
        later = {other for other in found if order.index(other) >= order.index(name)}
        assert later <= ({"blockset"} if name in ("scorer", "shorten") else set()), (
            f"{name} imports {later}, which come after it"
        )


def test_faces_hold_names_and_nothing_else():
    for path in PACKAGE.rglob("__init__.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_all = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            # Names that are imported late are said to type checkers.
            is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            is_name = is_docstring or is_all or is_typing or isinstance(node, ast.ImportFrom)
            assert is_name, f"{path} holds {ast.unparse(node)}"


def test_the_core_knows_nothing_of_python():
    manifest = (ROOT / "rust" / "pycontext-core" / "Cargo.toml").read_text(encoding="utf-8")
    assert "pyo3" not in manifest.lower()


# Rust: each file of the core with all that it may use of it.
CORE_MAY_USE = {
    "error": set(),
    "kind": set(),
    "limits": {"error"},
    "decay": {"kind"},
    "policy": {"decay", "kind"},
    "count/mod": set(),
    "count/class": set(),
    "count/pattern": {"count"},
    "count/vocabulary": set(),
    "count/blocks": {"count"},
    "count/avx2": {"count"},
    "count/avx512": {"count"},
    "count/pairs": {"count"},
    "count/merge": {"count"},
    "count/giant": {"count"},
    "count/table": set(),
    "count/kept": set(),
    "count/tables": {"count"},
    "count/scratch": {"count"},
    "count/path": {"count"},
    "count/encoding": {"count"},
    "count/batch": {"count"},
    "count/user_pattern": {"error"},
    "count/ranks": {"count", "error"},
    "provider/object": set(),
    "provider/mod": set(),
    "provider/anthropic": {"provider"},
    "provider/responses": {"provider"},
    "render": {"kind", "provider"},
    "cost": {"count", "kind", "provider", "render"},
    "stored": set(),
    "words/mod": set(),
    "words/term": {"words"},
    "index/names": {"stored"},
    "index/dictionary": {"index", "words"},
    "index/identifiers": set(),
    "index/mentions": {"index", "stored"},
    "index/query": {"index", "words"},
    "index/bm25": {"index"},
    "index/tfidf": {"index", "words"},
    "index/mod": {"kind", "provider", "render", "stored", "words"},
    "twin": set(),
    "slice": {"stored"},
    "texts": {"slice"},
    "row": {"kind", "limits", "provider", "texts"},
    # Two nouns that know each other: units are noted as rows come, and read anew from the rows.
    "unit": {"columns", "kind", "policy", "stored"},
    "columns": {
        "cost", "count", "error", "kind", "limits", "policy", "provider", "render", "row", "slice", "texts", "twin",
        "unit",
    },
    "columns/memory": {"cost", "provider", "row", "stored", "texts"},
    "columns/part": {"row", "texts", "unit"},
    "draft": {"columns", "error", "row"},
    "score": {"columns", "kind", "policy"},
    "dedup": {"columns", "policy", "unit"},
    "selection": {"columns", "cost", "error", "evidence", "policy", "unit"},
    "pack": {"cost", "policy"},
    "evidence/context": {"columns", "evidence", "index", "kind", "render"},
    "evidence/reference": {"columns", "index", "kind", "render"},
    "evidence/transcript": {"columns", "index", "kind", "pack"},
    "evidence/mod": {"columns", "index", "kind", "pack", "unit"},
    "prune": {
        "columns", "cost", "dedup", "error", "evidence", "kind", "near", "pack", "policy", "score", "selection", "unit",
    },
    "near/shingles": set(),
    "near/signature": set(),
    "near/document": {"near"},
    "near/mod": {"kind", "stored"},
    "hash": {"columns"},
    "shorten/mod": set(),
    "shorten/repack": set(),
    "shorten/stub": {"index"},
    "batch/json": {"error"},
    "batch/cell": {"batch", "error"},
    "batch/message": {"batch", "count", "error", "kind", "limits", "provider", "row", "texts"},
    "batch/job": {"columns", "cost", "count", "error", "evidence", "index", "near", "policy", "prune", "selection"},
    "batch/tally": {"batch", "columns", "kind", "selection"},
    "batch/lines": {"batch", "columns", "count", "error", "kind", "near"},
    "batch/frame": {"batch", "columns", "count", "error", "kind", "limits", "row", "texts"},
    "batch/sorted": {"batch", "error"},
    "batch/table": {"batch", "columns", "draft", "error", "kind", "row", "slice", "texts"},
    "batch/mod": set(),
    "wire/mod": set(),
    "wire/proto": {"error"},
    "wire/envelope": {"error", "limits"},
    "wire/metadata": {"error", "limits", "row", "wire"},
    "wire/block": {"columns", "error", "kind", "limits", "row", "slice", "texts", "wire"},
    "wire/package": {"columns", "draft", "error", "limits", "slice", "wire"},
    "wire/delta": {"error", "limits", "wire"},
    "wire/change": {"error", "limits", "wire"},
    "lib": set(),
}  # fmt: skip

# The same for the binding.
BINDING_MAY_USE = {
    "class": set(),
    "error": {"class"},
    "text": set(),
    "field": {"block", "text"},  # what a block knows of its tokens
    "block": {"class", "error", "field", "text"},
    "table": {"block", "text"},
    "state": {"table", "text"},
    "batch": {"block", "class", "field"},
    "chat": {"block", "field", "text"},
    "policy": {"class", "error", "field"},
    "escape": set(),
    "json": set(),
    "rows": {"text"},
    "arrow": {"field"},
    "count": {"arrow", "error", "field"},
    "ranks": {"count", "error", "field"},
    "tokenizer_file": {"count", "error", "field"},
    "columns": {"batch", "block", "chat", "count", "error", "field", "rows", "state", "table", "text"},
    "arrays": {"columns", "error", "field", "text"},
    "cost": {"columns", "error", "field"},
    "shorten": set(),
    "selection": {"class", "columns", "cost", "error", "field", "table", "text"},
    "prune": {"columns", "cost", "error", "field", "policy", "selection", "table"},
    "gather": {"columns", "error", "rows", "table", "text"},
    "fallen": {"columns", "rows", "selection", "state", "table", "text"},
    "memory": {"columns", "table", "text"},
    "hash": {"columns", "table"},
    "wire": {"columns", "error", "rows"},
    "job": {"error", "policy"},
    "lines": {"job"},
    "frames": {"columns", "error", "job", "rows"},
    "documents": set(),
    "zstd_file": set(),
    "lib": {
        "arrays", "block", "columns", "cost", "count", "documents", "escape", "fallen", "frames", "gather", "hash",
        "job", "json", "lines", "memory", "policy", "prune", "ranks", "rows", "selection", "shorten", "tokenizer_file",
        "wire", "zstd_file",
    },
}  # fmt: skip


def uses_of(path, crate):
    """The first segments of all paths into the crate itself, those of grouped imports included."""
    code = path.read_text(encoding="utf-8").partition("#[cfg(test)]")[0]
    code = re.sub(r"//.*", "", code)
    names = re.findall(r"\bcrate::(\w+)", code)
    names += [
        name for group in re.findall(r"\bcrate::\{(.*?)\};", code, re.DOTALL) for name in re.findall(r"\w+", group)
    ]
    modules = {other.relative_to(crate).with_suffix("").parts[0] for other in crate.rglob("*.rs")}
    outside = re.findall(r"\b(?:super|self)::(\w+)", code)
    parent = path.relative_to(crate).parent.as_posix()
    # One level up from a file in a folder is that folder; from a file of the crate it is the crate itself.
    names += outside if parent == "." else [parent] * bool(outside)
    return set(names) & modules


@pytest.mark.parametrize(("crate", "allowed"), [("pycontext-core", CORE_MAY_USE), ("pycontext-py", BINDING_MAY_USE)])
def test_no_rust_file_uses_what_the_map_does_not_allow(crate, allowed):
    source = ROOT / "rust" / crate / "src"
    files = {path.relative_to(source).with_suffix("").as_posix(): path for path in source.rglob("*.rs")}
    found = {name: uses_of(path, source) - {name} for name, path in files.items()}
    assert found == allowed


def test_the_package_exports_what_it_names():
    assert all(hasattr(pycontext, name) for name in pycontext.__all__)
    assert list(pycontext.__all__) == sorted(pycontext.__all__)
