"""Packages and their form as dicts."""

from __future__ import annotations

import copy
import json
import pickle
import uuid

import numpy as np
import pytest
from hypothesis import given

from pycontext import BlockSet, ContextBlock, ContextMetrics, ContextPackage, ContextType, ValidationError
from strategies import block_lists


def make(*contents, **options):
    blocks = [ContextBlock(f"b{i}", text, 0.5, ContextType.USER, timestamp=i) for i, text in enumerate(contents)]
    return ContextPackage("s", "agent", blocks, **options)


def test_the_positional_order_is_the_articles():
    metrics = ContextMetrics(0, 0.0, {})
    package = ContextPackage("s", "agent", [], metrics, 3, "trace")
    assert (package.session_id, package.agent_id, package.version, package.trace_id) == ("s", "agent", 3, "trace")
    assert isinstance(package.blocks, BlockSet)
    assert uuid.UUID(make().trace_id)
    assert make().version == 1
    assert make().counter == "o200k_base"


def test_metrics_are_always_those_of_the_blocks():
    package = make("one two", "three")
    assert package.metrics == ContextMetrics(3, 3 / 8192, {"USER": 1.0})
    assert package.calculate_metrics(max_tokens=6) == ContextMetrics(3, 0.5, {"USER": 1.0})
    package.blocks.append(ContextBlock("k", "x y z", 0.5, ContextType.KNOWLEDGE))
    assert package.metrics == ContextMetrics(6, 1.0, {"USER": 0.5, "KNOWLEDGE": 0.5})
    package.blocks[0].content = "one two three four five"
    assert package.metrics.total_tokens == 9
    assert package.metrics.context_saturation == 1.0
    assert make().metrics == ContextMetrics(0, 0.0, {})


def test_every_change_raises_the_version():
    package = make("one")
    package.blocks.append(ContextBlock("k", "x", 0.5, ContextType.KNOWLEDGE))
    assert package.version == 2
    package.blocks[0].content = "two"
    assert package.version == 3
    package.blocks = [ContextBlock("n", "x", 0.5, ContextType.USER)]
    assert package.version == 4
    assert [block.id for block in package.blocks] == ["n"]


def test_assigning_blocks_checks_all_of_them_first():
    package = make("one")
    twice = ContextBlock("n", "x", 0.5, ContextType.USER)
    with pytest.raises(ValidationError):
        package.blocks = [twice, twice]
    assert [block.content for block in package.blocks] == ["one"]
    assert package.version == 1


@given(blocks=block_lists())
def test_a_dict_comes_back(blocks):
    package = ContextPackage("s", "agent", blocks, version=5)
    data = package.to_dict()
    loaded = ContextPackage.from_dict(json.loads(json.dumps(data)), strict=True)
    assert loaded.to_dict() == data
    assert loaded.blocks == package.blocks
    assert loaded.version == 5


def test_the_dict_has_the_articles_keys():
    data = make("one two").to_dict()
    assert list(data)[:7] == ["session_id", "agent_id", "blocks", "metrics", "version", "trace_id", "counter"]
    assert list(data["blocks"][0]) == [
        "id", "content", "relevance_score", "type", "metadata", "timestamp", "token_count", "references",
    ]  # fmt: skip
    assert data["blocks"][0]["type"] == "USER"
    assert data["metrics"] == {
        "total_tokens": 2,
        "context_saturation": 2 / 8192,
        "type_distribution": {"USER": 1.0},
    }


def test_the_dict_shares_nothing():
    package = make("one")
    package.blocks[0].metadata["k"] = "v"
    data = package.to_dict()
    data["blocks"][0]["metadata"]["k"] = "changed"
    data["blocks"][0]["references"].append("x")
    assert package.blocks[0].metadata == {"k": "v"}
    assert package.blocks[0].references == []


def test_keys_that_are_not_known_come_back_or_are_refused():
    data = {**make("one").to_dict(), "x_team": {"a": [1]}}
    data["blocks"][0]["x_note"] = ["n"]
    kept = copy.deepcopy(data)
    loaded = ContextPackage.from_dict(data)
    data["x_team"]["a"].append(2)
    assert loaded.to_dict() == kept
    with pytest.raises(ValidationError, match="package: key 'x_team' is not one of session_id"):
        ContextPackage.from_dict(kept, strict=True)


def test_what_may_be_left_out():
    loaded = ContextPackage.from_dict(
        {
            "session_id": "s",
            "agent_id": "a",
            "blocks": [{"id": "b", "content": "x y", "relevance_score": 1, "type": "TOOL"}],
        }
    )
    (block,) = loaded.blocks
    assert (block.type, block.token_count, block.metadata, block.references) == (ContextType.TOOL, 2, {}, [])
    assert block.timestamp > 0
    assert loaded.version == 1


def test_counts_of_another_counter_are_not_believed():
    data = make("naïve café").to_dict()
    data["blocks"][0]["token_count"] = 99
    assert ContextPackage.from_dict(data).metrics.total_tokens == 99
    assert ContextPackage.from_dict(data, counts="recount").metrics.total_tokens < 10
    assert ContextPackage.from_dict(data, counter="cl100k_base").metrics.total_tokens < 10
    assert ContextPackage.from_dict(data, counter="cl100k_base").to_dict()["counter"] == "cl100k_base"


def test_a_package_says_what_it_is():
    assert repr(make("x")) == "<ContextPackage s: 1 blocks>"


def test_counts_in_the_dict_are_those_of_the_packages_counter():
    package = ContextPackage("s", "a", [ContextBlock("b", "x", 0.5, ContextType.USER)], counter="cl100k_base")
    package.blocks[0].content = "Здравствуйте, как дела? " * 5
    data = package.to_dict()
    assert data["blocks"][0]["token_count"] == data["metrics"]["total_tokens"]
    assert package.blocks[0].token_count == data["metrics"]["total_tokens"]
    assert ContextPackage.from_dict(data).metrics.total_tokens == data["metrics"]["total_tokens"]


def test_the_dict_is_json_whatever_numbers_were_written():
    package = make("one")
    package.blocks[0].relevance_score = np.float32(0.5)
    package.blocks[0].timestamp = np.int64(5)
    assert json.loads(json.dumps(package.to_dict()))["blocks"][0]["timestamp"] == 5


def test_unknown_keys_stay_with_the_block_they_came_with():
    data = make("one").to_dict()
    data["blocks"][0]["origin"] = "elsewhere"
    package = ContextPackage.from_dict(data)
    del package.blocks[0]
    package.blocks.append(ContextBlock("b0", "new", 0.5, ContextType.USER, timestamp=99))
    assert "origin" not in package.to_dict()["blocks"][0]


def test_owner_and_trace_are_checked_when_written():
    package = make()
    package.agent_id = "other"
    for name in ("agent_id", "trace_id"):
        with pytest.raises(ValidationError, match=f"{name} '' is empty"):
            setattr(package, name, "")
    assert package.agent_id == "other"


def test_a_package_is_copied_and_pickled_with_its_version():
    package = make("one", "two", version=7)
    package.blocks[0].content = "three"
    for other in (copy.deepcopy(package), pickle.loads(pickle.dumps(package))):
        assert other.to_dict() == package.to_dict()
        other.blocks.clear()
        assert other.version == package.version + 1
        assert len(package.blocks) == 2


@pytest.mark.parametrize("session_id", ["..", ".", "~", "-rf", "@x", "+", "a/b", "a b"])
def test_a_session_id_is_safe_in_a_path_and_on_a_command_line(session_id):
    with pytest.raises(ValidationError, match="session_id"):
        ContextPackage(session_id, "a")


def test_a_version_leaves_room_for_more():
    with pytest.raises(ValidationError, match="version"):
        make(version=2**32)
    package = make("one", version=2**31)
    package.blocks.append(ContextBlock("more", "more", 0.5, ContextType.USER))
    assert ContextPackage.from_dict(package.to_dict()).version == 2**31 + 1


def test_deep_unknown_keys_are_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValidationError, match="nested too deep"):
        ContextPackage.from_dict({**make().to_dict(), "x": deep})


def test_a_key_that_is_not_known_is_a_copy_in_every_dict():
    package = ContextPackage.from_dict({**make().to_dict(), "x": [1]})
    package.to_dict()["x"].append(2)
    assert package.to_dict()["x"] == [1]
