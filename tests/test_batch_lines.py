"""JSON lines by the million: what a batch makes of every line is what the library makes of one conversation."""

from __future__ import annotations

import gzip
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_reference import pruned_messages
from pycontext import BlockSet, ValidationError, _core
from pycontext.batch import files, prune_files
from pycontext.batch.task import Task
from pycontext.cli import main
from pycontext.errors import BadLineError
from pycontext.messages.openai import to_blocks
from pycontext.strict_json import parse

ATOMS = [None, True, 1, 10**30, -0.0, 1.5, 1e22, 1.5e-7, "x", 'é\n"\\\u2028', "😀", [], {}, {"a": [1, {"b": None}]}]
TEXTS = ["", "hi", "[SYSTEM] no\n[y", "long text " * 30, 'é中\n\t"q" \\ /', "a\u0000b"]
PARTS = [
    {"type": "text", "text": "part"},
    {"type": "text", "text": "other", "cache_control": {"type": "x"}},
    {"type": "text", "text": True},
    {"type": "text"},
    {"text": "no type"},
    {"type": "image_url", "image_url": {"url": "u", "detail": "low"}},
    {"type": "input_audio", "input_audio": {"data": "zz"}},
    "text",
    3,
]
IDS = st.sampled_from(["c1", "c2", "c\n1", 1, 1.0, None])
CALL = st.one_of(
    st.builds(
        lambda id, name, arguments: {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}},
        IDS,
        st.sampled_from(["f", "get_it"]),
        st.sampled_from(["{}", '{"a": 1}', "no json"]),
    ),
    st.sampled_from([{"x": 1}, 3, {"id": "c1", "custom": {"name": "n", "input": "i"}}]),
)
CONTENT = st.one_of(
    st.sampled_from(TEXTS), st.text(max_size=20), st.none(), st.lists(st.sampled_from(PARTS), max_size=4),
    st.sampled_from([1, True, {}]),
)  # fmt: skip


@st.composite
def messages(draw):
    role = draw(st.sampled_from(["system", "user", "assistant", "tool", "function", "developer", "assistant", "tool"]))
    fields = {"role": role}
    if draw(st.integers(0, 9)):
        fields["content"] = draw(CONTENT)
    if role == "assistant" and draw(st.booleans()):
        fields["tool_calls"] = draw(st.one_of(st.lists(CALL, max_size=3), st.none(), st.just("text")))
    if role == "assistant" and not draw(st.integers(0, 5)):
        fields["function_call"] = {"name": draw(st.sampled_from(["g", None])), "arguments": "{}"}
    if role == "tool" and draw(st.integers(0, 5)):
        fields["tool_call_id"] = draw(IDS)
    if role == "function":
        fields["name"] = draw(st.sampled_from(["g", "h", None]))
    if not draw(st.integers(0, 4)):
        fields[draw(st.sampled_from(["name", "refusal", "audio", "extra é", "annotations"]))] = draw(
            st.sampled_from(ATOMS)
        )
    if not draw(st.integers(0, 19)):
        fields["role"] = draw(st.sampled_from(["bad", None, 1]))
    return dict(draw(st.permutations(list(fields.items())))) if draw(st.booleans()) else fields


def pruned(line, budget, policy="relevance", query=None, on_overflow="drop"):
    task = Task.of(budget, policy=policy, query=query, on_overflow=on_overflow)
    return _core.prune_lines(task.job, line, len(line))


def expected(line, budget, policy, query):
    """The object that should come out, None for none; a bad line raises."""
    fields = parse(line)
    if not isinstance(fields, dict) or not isinstance(fields.get("messages"), list):
        raise ValidationError("no conversation")
    left = pruned_messages(fields["messages"], budget, policy=policy, query=query)
    return None if left is None else {**fields, "messages": left}


OPTIONS = st.tuples(
    st.sampled_from([20, 60, 150, 400, 3_000]),
    st.sampled_from(["relevance", "recent", "window", "evidence"]),
    st.sampled_from([None, "last-user", "part long"]),
)


@given(
    st.lists(messages(), max_size=8),
    st.sampled_from(ATOMS),
    OPTIONS,
    st.booleans(),
    st.sampled_from([(",", ":"), (", ", ": "), (" , ", "\t:\t")]),
    st.booleans(),
)
def test_a_line_becomes_what_the_library_makes_of_it(chat, extra, options, is_ascii, separators, is_extra_first):
    fields = {"id": 7, "messages": chat, "extra": extra}
    if is_extra_first:
        fields = dict(reversed(fields.items()))
    line = json.dumps(fields, ensure_ascii=is_ascii, separators=separators).encode()
    output, sums, problems, lines, documents = pruned(line, *options)
    assert (lines, documents) == (1, 1)
    try:
        want = expected(line, *options)
    except ValidationError:
        assert output == b""
        assert problems[0][5] is None
        assert sums["conversations"] == 0
        return
    if want is None:
        needed, available = problems[0][5]
        assert needed > available
        assert (output, sums["could_not_fit"], sums["written"]) == (b"", 1, 0)
    else:
        assert json.loads(output) == want
        assert list(json.loads(output)) == list(want)
        # What stays is there byte for byte.
        assert all(
            json.dumps(m, ensure_ascii=is_ascii, separators=separators).encode() in line for m in want["messages"]
        )
        if len(want["messages"]) == len(chat):
            assert output == line + b"\n"


@given(st.lists(messages(), max_size=3), st.data())
def test_a_damaged_line_is_refused_as_the_library_refuses_it(chat, data):
    line = json.dumps({"messages": chat}, ensure_ascii=data.draw(st.booleans())).encode()
    at = data.draw(st.integers(0, len(line)))
    bite = data.draw(
        st.sampled_from([b"", b'"', b",", b"}", b"\\", b"\x01", b"\xff", b"0", b"NaN", b"\\ud800", b"1e999"])
    )
    line = line[:at] + bite + line[at + data.draw(st.integers(0, 2)) :]
    try:
        want = expected(line, 10_000, "relevance", None)
    except ValidationError:
        want = None
    output, _, problems, *_ = pruned(line, 10_000)
    if want is None:
        assert (output, len(problems)) == (b"", 1 if line.strip() else 0)
    else:
        assert json.loads(output) == want


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"[]", "line is list, not an object with messages"),
        (b"{}", "key 'messages' is missing"),
        (b'{"messages": 1}', "messages is int, not a list"),
        (b'{"messages": [1]}', "messages[0]: message 1 is int, not a dict"),
        (b'{"messages": [{"role": "x"}]}', 'messages[0]: role "x" is not one of system, developer'),
        (b'{"messages": [], "messages": []}', "key 'messages' comes twice"),
        (b'{"messages": [], "a": {"b": 1, "\\u0062": 2}}', "key 'b' comes twice"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "messages[0]: content holds half of a surrogate"),
        (b'{"messages": [}', "line is not JSON: no value at column 15"),
        (b"\xff", "line is not UTF-8 at byte 0"),
        (b'{"messages": [], "a": ' + b"[" * 64 + b"]" * 64 + b"}", "JSON is nested over 64 deep"),
        (b'{"messages": [], "a": ' + b"9" * 1001 + b"}", "has 1001 digits, over 1000"),
        (b'{"messages": [{"role": "user", "content": "' + b"x" * (1 << 20) + b'y"}]}', "1048577 bytes, over 1048576"),
    ],
)
def test_a_bad_line_says_in_one_line_what_is_wrong(line, reason):
    ((number, start, end, said, *_),) = pruned(line, 1_000)[2]
    assert (number, start, end) == (0, 0, len(line))
    assert reason in said
    assert "\n" not in said


def conversation(number, length=6, text="words and more words "):
    chat = [{"role": "system", "content": "Be brief."}]
    for turn in range(length):
        chat += [
            {"role": "user", "content": f"{text * (turn % 4 + 1)} {number}.{turn}"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"n": 1}'}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": f"found {number} " * 5},
        ]
    return {"id": f"c{number}", "messages": chat, "meta": {"n": number}}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def write_lines(path, count, **options):
    lines = [json.dumps(conversation(number, number % 7, **options)).encode() + b"\n" for number in range(count)]
    path.write_bytes(b"".join(lines))
    return lines


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("piece", [1_000, 20_000, 4 << 20])
def test_neither_pieces_nor_threads_nor_compression_matter(tmp_path, monkeypatch, suffix, threads, piece):
    lines = write_lines(tmp_path / "in.jsonl", 200)
    whole = b"".join(pruned(line, 300)[0] for line in lines)
    source = tmp_path / f"in.jsonl{suffix}"
    source.write_bytes(compressed(b"".join(lines), suffix))
    monkeypatch.setattr(files, "PIECE_BYTES", piece)
    summary = prune_files(source, tmp_path / f"out.jsonl{suffix}", 300, threads=threads)
    assert uncompressed(tmp_path / f"out.jsonl{suffix}") == whole
    assert (summary["conversations"], summary["written"], summary["bad_lines"]) == (200, 200, 0)
    assert names_in(tmp_path) == sorted({"in.jsonl", f"in.jsonl{suffix}", f"out.jsonl{suffix}"})


def compressed(data, suffix):
    half = len(data) // 2
    # Of several members or frames, as other programs write them.
    if suffix == ".gz":
        return gzip.compress(data[:half]) + gzip.compress(data[half:])
    return _core.zstd_frame(data[:half]) + _core.zstd_frame(data[half:]) if suffix else data


def uncompressed(path):
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    return _core.ZstdFile(str(path)).read(1 << 30) if path.suffix == ".zst" else path.read_bytes()


def test_line_ends_blank_lines_and_the_mark_of_a_file_are_taken_as_they_come(tmp_path):
    line = json.dumps(conversation(1)).encode()
    (tmp_path / "in.jsonl").write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\n  \r\n " + line + b"\n" + line)
    prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 10_000)
    assert (tmp_path / "out.jsonl").read_bytes() == line + b"\r\n " + line + b"\n" + line + b"\n"


def test_an_empty_file_gives_an_empty_one(tmp_path):
    (tmp_path / "in.jsonl").touch()
    summary = prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 10)
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert (summary["conversations"], summary["histogram"]["before"]) == (0, [])


def test_a_line_beyond_the_limit_is_passed_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIECE_BYTES", 1_000)
    monkeypatch.setattr(files, "LINE_BYTES", 5_000)
    good = json.dumps(conversation(1)).encode() + b"\n"
    (tmp_path / "in.jsonl").write_bytes(good + b"x" * 50_000 + b"\n" + good)
    summary = prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 10_000, skip_bad=True)
    assert (tmp_path / "out.jsonl").read_bytes() == good * 2
    assert summary["bad_lines"] == 1
    entry = json.loads((tmp_path / "out.jsonl.rejects.jsonl").read_text())
    assert (entry["line"], entry["raw"]) == (2, None)
    assert entry["reason"] == "line is 50001 bytes, over 5000"


def test_a_bad_line_ends_the_run_which_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PIECE_BYTES", 1_000)
    lines = write_lines(tmp_path / "in.jsonl", 60)
    lines[40] = b"{bad \xff\n"
    (tmp_path / "in.jsonl").write_bytes(b"".join(lines))
    with pytest.raises(BadLineError, match=r"in\.jsonl:41: line is not") as caught:
        prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 300)
    assert caught.value.line == 41
    assert not (tmp_path / "out.jsonl").exists()
    # Lines that were done are not read again: they could be anything now.
    status = (tmp_path / "in.jsonl").stat()
    (tmp_path / "in.jsonl").write_bytes(b"x" * len(b"".join(lines[:20])) + b"".join(lines[20:]))
    os.utime(tmp_path / "in.jsonl", ns=(status.st_atime_ns, status.st_mtime_ns))
    summary = prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 300, skip_bad=True)
    del lines[40]
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(pruned(line, 300)[0] for line in lines)
    assert (summary["conversations"], summary["bad_lines"]) == (59, 1)
    entry = json.loads((tmp_path / "out.jsonl.rejects.jsonl").read_text())
    assert entry["raw"].encode(errors="surrogateescape") == b"{bad \xff"
    assert names_in(tmp_path) == ["in.jsonl", "out.jsonl", "out.jsonl.rejects.jsonl"]


def test_what_cannot_fit_is_left_out_and_told_or_kept_whole(tmp_path):
    lines = write_lines(tmp_path / "in.jsonl", 5)
    dropped = prune_files(tmp_path / "in.jsonl", tmp_path / "a.jsonl", 5)
    assert (dropped["could_not_fit"], dropped["written"]) == (5, 0)
    rejected = [json.loads(line) for line in (tmp_path / "a.jsonl.rejects.jsonl").read_text().splitlines()]
    assert [entry["raw"].encode() + b"\n" for entry in rejected] == lines
    kept = prune_files(tmp_path / "in.jsonl", tmp_path / "b.jsonl", 5, on_overflow="keep")
    assert (kept["could_not_fit"], kept["written"], kept["tokens_after"]) == (5, 5, kept["tokens_before"])
    assert (tmp_path / "b.jsonl").read_bytes() == b"".join(lines)
    assert not (tmp_path / "b.jsonl.rejects.jsonl").exists()


def test_the_sums_are_those_of_every_conversation(tmp_path):
    lines = write_lines(tmp_path / "in.jsonl", 100)
    summary = prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 300, threads=2)
    before = [json.loads(line)["messages"] for line in lines]
    after = [json.loads(line)["messages"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    costs = [[BlockSet(to_blocks(chat)).total_cost("openai") for chat in chats] for chats in (before, after)]
    assert [summary["tokens_before"], summary["tokens_after"]] == [sum(each) for each in costs]
    assert max(costs[1]) <= 300
    assert summary["messages_before"] == sum(map(len, before))
    assert summary["messages_after"] == sum(map(len, after))
    types = summary["by_type"].values()
    assert sum(each["messages_before"] for each in types) == summary["messages_before"]
    fell = sum(each["messages"] for each in summary["fell"].values())
    assert fell == summary["messages_before"] - summary["messages_after"]
    assert summary["untouched"] == sum(a == b for a, b in zip(before, after, strict=True))
    largest = sorted(zip(costs[0], range(1, 101), strict=True), key=lambda pair: (-pair[0], pair[1]))[:20]
    assert [(each["tokens_before"], each["line"]) for each in summary["largest"]] == largest
    histogram = summary["histogram"]
    for name, chats in zip(("before", "after"), costs, strict=True):
        for least, below, count in zip(histogram["bounds"], histogram["bounds"][1:], histogram[name], strict=False):
            assert count == sum(least <= cost < below for cost in chats)


CHILD = """
import os, sys
from pycontext.batch import files, prune_files, run
files.PIECE_BYTES = 50_000
run._KEPT_EVERY = 0.0
prune_files(sys.argv[1], sys.argv[2], 300, threads=2)
"""


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_run_that_is_killed_goes_on_and_gives_the_same_bytes(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(files, "PIECE_BYTES", 50_000)
    write_lines(tmp_path / "in.jsonl", 6_000)
    source, out = str(tmp_path / "in.jsonl"), tmp_path / f"out.jsonl{suffix}"
    prune_files(source, tmp_path / f"whole.jsonl{suffix}", 300)
    chance = random.Random(suffix)
    killed = 0
    for _ in range(40):
        child = subprocess.Popen([sys.executable, "-c", CHILD, source, str(out)])
        progress = tmp_path / f"{out.name}.progress"
        before = progress.stat().st_mtime_ns if progress.exists() else None
        deadline = time.monotonic() + 60
        while child.poll() is None and time.monotonic() < deadline:
            if progress.exists() and progress.stat().st_mtime_ns != before:
                break
            time.sleep(0.001)
        time.sleep(chance.random() * 0.05)
        child.send_signal(signal.SIGKILL)
        if child.wait() == 0:
            break
        killed += 1
        assert not out.exists() or not progress.exists()
        if killed == 3:
            summary = prune_files(source, out, 300)
            break
    assert killed == 3
    assert out.read_bytes() == (tmp_path / f"whole.jsonl{suffix}").read_bytes()
    assert summary["conversations"] == 6_000


def test_a_run_that_another_began_is_not_gone_on_with(tmp_path):
    write_lines(tmp_path / "in.jsonl", 10)
    with (tmp_path / "in.jsonl").open("ab") as file:
        file.write(b"bad\n")
    with pytest.raises(BadLineError):
        prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 300)
    with pytest.raises(ValidationError, match="is of a run with budget 300, not 400: finish that one, or begin anew"):
        prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 400)
    summary = prune_files(tmp_path / "in.jsonl", tmp_path / "out.jsonl", 400, restart=True, skip_bad=True)
    assert summary["conversations"] == 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0}, "max_tokens 0 is not"),
        ({"policy": "best"}, "policy 'best' is not one of"),
        ({"policy": "cache"}, "goes on from the request before"),
        ({"counter": "p50k_base"}, "counter 'p50k_base' is not one of"),
        ({"on_overflow": "null"}, "on_overflow 'null' is not one of drop, keep"),
        ({"threads": 0}, "threads 0 is not a whole number"),
        ({"query": 3}, "query 3 is neither"),
        ({"inputs": []}, "inputs are none"),
    ],
)
def test_bad_options_are_refused_before_anything_is_written(tmp_path, options, message):
    (tmp_path / "in.jsonl").touch()
    known = {"inputs": tmp_path / "in.jsonl", "output": tmp_path / "out.jsonl", "budget": 10}
    with pytest.raises(ValidationError, match=message):
        prune_files(**(known | options))
    assert names_in(tmp_path) == ["in.jsonl"]


def test_the_input_is_never_overwritten(tmp_path):
    write_lines(tmp_path / "in.jsonl", 1)
    with pytest.raises(ValidationError, match="is one of the inputs"):
        prune_files(tmp_path / "in.jsonl", tmp_path / "in.jsonl", 10)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_compressed_file_that_is_cut_off_is_told(tmp_path, suffix):
    write_lines(tmp_path / "plain", 300)
    data = compressed((tmp_path / "plain").read_bytes(), suffix)
    (tmp_path / f"in.jsonl{suffix}").write_bytes(data[:-20])
    with pytest.raises(BadLineError, match=f"is no whole {'gzip' if suffix == '.gz' else 'zstd'} file"):
        prune_files(tmp_path / f"in.jsonl{suffix}", tmp_path / "out.jsonl", 300)
    assert not (tmp_path / "out.jsonl").exists()


def test_the_command_says_what_came_out_and_how_it_ended(tmp_path, capsys):
    lines = write_lines(tmp_path / "in.jsonl", 20)
    arguments = ["batch", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl"), "--budget", "300"]
    assert main([*arguments, "--json", "--report", str(tmp_path / "report.html")]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["conversations"], summary["written"]) == (20, 20)
    assert f"{summary['tokens_before']:,}" in (tmp_path / "report.html").read_text()
    (tmp_path / "in.jsonl").write_bytes(b"".join([*lines, b"bad\n"]))
    assert main(arguments) == 1
    assert "in.jsonl:21: line is not JSON" in capsys.readouterr().err
    assert main([*arguments, "--skip-bad"]) == 6
    said = capsys.readouterr()
    assert said.out == ""
    assert "bad lines" in said.err
    assert main(["batch", str(tmp_path / "none.jsonl"), "-o", str(tmp_path / "x"), "--budget", "300"]) == 3


def test_standard_input_is_read_to_its_end(tmp_path):
    lines = write_lines(tmp_path / "in.jsonl", 20)
    command = [sys.executable, "-m", "pycontext", "batch", "-", "-o", str(tmp_path / "out.jsonl"), "--budget", "300"]
    subprocess.run(command, input=b"".join(lines), check=True, capture_output=True)
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(pruned(line, 300)[0] for line in lines)
