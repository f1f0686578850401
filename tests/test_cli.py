"""The program, run as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import pycontext
from conftest import tiktoken_count
from reference import count_messages

DONE, FAILED, USAGE, NOT_FOUND, PARTLY = 0, 1, 2, 3, 6


def run(*args, stdin=b"", cwd=None, env=None):
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **(env or {})}
    command = [sys.executable, "-m", "pycontext", *map(str, args)]
    done = subprocess.run(command, input=stdin, capture_output=True, check=False, cwd=cwd, env=environment)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def call(id):
    return {"id": id, "type": "function", "function": {"name": "lookup", "arguments": "{}"}}


def conversation(id, turns=6, words=30):
    chat = [{"role": "system", "content": "You help."}, {"role": "user", "content": f"I am {id}, ünïcödé ✈️"}]
    for i in range(turns):
        chat += [
            {"content": None, "role": "assistant", "tool_calls": [call("same")]},
            {"role": "tool", "tool_call_id": "same", "name": "lookup", "content": f"{i} " + "word " * words},
        ]
    return {"id": id, "reward": 1.0, "messages": [*chat, {"role": "user", "content": "and now?"}]}


def write(path, *lines):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n"
    path.write_text(text, encoding="utf-8")
    return path


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def chats(tmp_path):
    return write(tmp_path / "in.jsonl", *(conversation(f"c{i}", turns=i) for i in range(5)))


# prune


def test_prune_writes_conversations_that_fit(chats):
    code, out, err = run("prune", chats, "--budget", 150)
    assert code == DONE
    before, after = lines_of(chats.read_text(encoding="utf-8")), lines_of(out)
    assert [line["id"] for line in after] == [f"c{i}" for i in range(5)]
    assert all(line["reward"] == 1.0 for line in after)
    for old, new in zip(before, after, strict=True):
        assert count_messages(new["messages"]) <= 150
        assert new["messages"][:1] == old["messages"][:1]
        assert new["messages"][-1] == old["messages"][-1]
        rest = iter(json.dumps(message) for message in old["messages"])
        assert all(json.dumps(message) in rest for message in new["messages"]), "order and keys are kept"
    assert "ünïcödé ✈️" in out
    assert "Pruned to 150 tokens" in err
    assert "\x1b" not in out + err


def test_policy_reserve_and_encoding_are_used(chats):
    _, recent, _ = run("prune", chats, "--budget", 250, "--policy", "recent", "--reserve-output", 100)
    assert all(count_messages(line["messages"]) <= 150 for line in lines_of(recent))
    _, other, _ = run("prune", chats, "--budget", 150, "--encoding", "cl100k_base")
    for line in lines_of(other):
        assert count_messages(line["messages"], lambda text: tiktoken_count(text, "cl100k_base")) <= 150


def test_a_file_appears_whole_and_the_report_goes_to_standard_output(chats, tmp_path):
    target = tmp_path / "out.jsonl"
    code, out, err = run("prune", chats, "--budget", 150, "-o", target, "--json")
    assert code == DONE
    assert len(lines_of(target.read_text(encoding="utf-8"))) == 5
    (summary,) = lines_of(out)
    assert err == ""
    assert summary["conversations"] == summary["written"] == 5
    assert summary["tokens_after"] == sum(
        count_messages(line["messages"]) for line in lines_of(target.read_text(encoding="utf-8"))
    )
    assert summary["tokens_before"] == sum(
        count_messages(line["messages"]) for line in lines_of(chats.read_text(encoding="utf-8"))
    )
    fell = sum(entry["messages"] for entry in summary["fell"].values())
    assert fell == summary["messages_before"] - summary["messages_after"] > 0
    assert target.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_file_may_be_written_over_itself(chats):
    before = chats.read_text(encoding="utf-8")
    assert run("prune", chats, "--budget", 150, "-o", chats)[0] == DONE
    assert 0 < len(chats.read_text(encoding="utf-8")) < len(before)


def test_a_device_is_written_to_and_not_replaced(chats):
    assert run("prune", chats, "--budget", 150, "-o", os.devnull)[0] == DONE
    assert not Path(os.devnull).is_file()


def test_without_a_file_the_json_report_goes_to_standard_error(chats):
    _, out, err = run("prune", chats, "--budget", 150, "--json")
    assert len(lines_of(out)) == 5
    assert lines_of(err)[-1]["event"] == "summary"


def test_what_cannot_fit_is_named_and_the_rest_goes_on(tmp_path):
    big = conversation("big")
    big["messages"][0]["content"] = "rule " * 500
    path = write(tmp_path / "in.jsonl", conversation("a"), big, conversation("b"))
    code, out, err = run("prune", path, "--budget", 150)
    assert code == PARTLY
    assert [line["id"] for line in lines_of(out)] == ["a", "b"]
    assert f"{path}:2: conversation 'big': budget of 150 tokens" in err
    assert "'m0'" in err
    code, out, err = run("prune", path, "--budget", 150, "--on-overflow", "keep", "--json")
    assert code == PARTLY
    assert lines_of(out)[1] == big
    event, summary = lines_of(err)
    assert (event["event"], event["line"], event["id"], event["blockers"]) == ("could_not_fit", 2, "big", ["m0"])
    assert (summary["could_not_fit"], summary["written"]) == (1, 3)


ROWS = tomllib.loads((Path(__file__).parent / "data" / "bad_inputs.toml").read_text(encoding="utf-8"))["row"]
BAD_LINES = [
    *(line for row in ROWS for line in row.get("lines", [])),
    ("[" * 100_000, "not JSON"),
    ('{"messages": [], "n": ' + "9" * 5_000 + "}", "has 5000 digits, over 1000"),
    ('{"messages": [{"role": "user", "content": "' + "x" * (1 << 20) + 'x"}]}', "over 1048576"),
]


@pytest.mark.parametrize(("line", "words"), BAD_LINES, ids=[words for _, words in BAD_LINES])
def test_a_bad_line_names_file_and_line(tmp_path, line, words):
    path, target = write(tmp_path / "in.jsonl", conversation("a"), "", line, conversation("b")), tmp_path / "out"
    code, out, err = run("prune", path, "--budget", 150, "-o", target)
    assert code == FAILED
    assert (out, err.count("\n")) == ("", 1)
    assert f"{path}:3: " in err
    assert words in err
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.jsonl"], "nothing half written"
    code, out, err = run("prune", path, "--budget", 150, "--skip-bad")
    assert code == PARTLY
    assert [entry["id"] for entry in lines_of(out)] == ["a", "b"]
    assert f"{path}:3: " in err
    assert "bad lines" in err


def test_bytes_that_are_no_text_are_a_bad_line(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"messages": []}\n{"messages": [{"role": "user", "content": "\xff"}]}\n')
    code, _, err = run("count", path)
    assert code == FAILED
    assert f"{path}:2: not UTF-8 at byte" in err


def test_a_conversation_without_an_id_is_known_by_its_line(tmp_path):
    path = write(tmp_path / "in.jsonl", {"messages": []}, {"messages": [{"role": "user", "content": "hi"}]})
    _, out, _ = run("count", path)
    assert out == "0\t1\n8\t2\n8\ttotal\n"
    _, out, _ = run("prune", path, "--budget", 10)
    assert lines_of(out) == lines_of(path.read_text(encoding="utf-8"))


def test_a_byte_order_mark_is_no_bad_line(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"messages": []}')
    assert run("count", path)[1] == "0\t1\n0\ttotal\n"


def test_standard_input_is_read(chats):
    assert run("prune", "-", "--budget", 150, stdin=chats.read_bytes())[1] == run("prune", chats, "--budget", 150)[1]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        ([], USAGE, "COMMAND"),
        (["prune", "IN"], USAGE, "--budget"),
        (["prune", "IN", "--budget", "many"], USAGE, "--budget"),
        (["prune", "IN", "--budget", "0"], USAGE, "argument --budget: '0' is not a whole number from 1"),
        (["inspect", "IN", "--top", "-1"], USAGE, "argument --top: '-1' is not a whole number from 0"),
        (["prune", "IN", "--budget", "9", "--reserve-output", "9"], USAGE, "reserve_output 9"),
        (
            ["prune", "IN", "--budget", "9", "--policy", "best"],
            USAGE,
            "policy 'best' is not one of relevance, evidence, recent",
        ),
        (["prune", "IN", "--budget", "9", "--encoding", "x"], USAGE, "counter 'x' is not one of o200k_base"),
        (["count", "--text", "IN", "--encoding", "x"], USAGE, "counter 'x' is not one of o200k_base"),
        (["prune", "nowhere.jsonl", "--budget", "9"], NOT_FOUND, "nowhere.jsonl: No such file"),
        (["prune", "IN", "--budget", "9", "-o", "nowhere/out"], NOT_FOUND, "nowhere: No such file"),
        (["inspect", "IN", "--why"], USAGE, "--why and --budget go together"),
        (["inspect", "IN", "--why", "--budget", "9", "--policy", "best"], USAGE, "policy 'best' is not one of"),
        (["inspect", "nowhere.jsonl"], NOT_FOUND, "nowhere.jsonl: No such file"),
        (["count", "."], NOT_FOUND, ".: Is a directory"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(chats, args, code, words):
    actual, out, err = run(*[chats if arg == "IN" else arg for arg in args], cwd=chats.parent)
    assert (actual, out) == (code, "")
    assert words in err


def test_a_reader_that_has_enough_is_no_error(chats):
    chats.write_text(chats.read_text(encoding="utf-8") * 2_000, encoding="utf-8")
    program = [sys.executable, "-m", "pycontext", "count", str(chats)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == FAILED


def test_memory_does_not_grow_with_the_file(tmp_path):
    line = (json.dumps(conversation("x", turns=20)) + "\n").encode()

    def peak_kb(lines):
        path = tmp_path / "in.jsonl"
        path.write_bytes(line * lines)
        # The high-water mark of the new program alone: getrusage would count what it was forked from.
        program = (
            "import re, sys; from pathlib import Path; from pycontext.cli import main; "
            "main(sys.argv[1:]); print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
        )
        arguments = ["prune", str(path), "--budget", "400", "-o", str(tmp_path / "out.jsonl")]
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, check=True)
        return int(done.stdout.split()[-1])

    small, large = peak_kb(20), peak_kb(4_000)
    assert (tmp_path / "in.jsonl").stat().st_size > 20_000_000
    assert large - small < 8_000


# inspect, count


def test_inspect_finds_broken_exchanges(tmp_path):
    broken = {
        "id": "broken",
        "messages": [
            {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]},
            {"role": "tool", "tool_call_id": "a", "content": "x"},
            {"role": "user", "content": "hm"},
            {"role": "tool", "tool_call_id": "z", "content": "x"},
        ],
    }
    path = write(tmp_path / "in.jsonl", conversation("fine"), broken)
    code, out, _ = run("inspect", path, "--json")
    assert code == DONE
    fine, facts = lines_of(out)
    assert (fine["broken_messages"], fine["messages"], fine["tool_results"]) == (0, 15, 6)
    assert fine["tokens"] == count_messages(conversation("fine")["messages"])
    assert (facts["id"], facts["line"], facts["broken_messages"]) == ("broken", 2, 3)
    assert set(fine["content_tokens"]) == {"SYSTEM", "USER", "TOOL"}
    code, out, _ = run("inspect", path)
    assert code == DONE
    assert "broken messages" in out
    assert "TOOL content" in out


def test_inspect_says_why_a_message_stays_or_falls(tmp_path):
    path = write(tmp_path / "in.jsonl", conversation("a"), conversation("b"))
    code, out, _ = run("inspect", path, "--why", "--budget", 150, "--id", "b", "--json")
    assert code == DONE
    (receipt,) = lines_of(out)
    assert receipt["id"] == "b"
    assert receipt["tokens"] <= 150
    assert [block["id"] for block in receipt["blocks"]] == [f"m{n}" for n in range(15)]
    by_id = {block["id"]: block for block in receipt["blocks"]}
    assert by_id["m0"]["reason"] == "pinned"
    assert "found no room" in by_id["m2"]["why"]
    code, out, _ = run("inspect", path, "--why", "--budget", 150)
    assert code == DONE
    assert out.count("no room") >= 4
    assert "request" in out
    code, out, _ = run("inspect", path, "--why", "--budget", 10)
    assert code == PARTLY
    assert out.count("are pinned") == 2
    assert run("inspect", path, "--why", "--budget", 10, "--json")[0] == PARTLY


def test_count_counts_requests_or_texts(chats, tmp_path):
    code, out, _ = run("count", chats)
    assert code == DONE
    expected = [count_messages(line["messages"]) for line in lines_of(chats.read_text(encoding="utf-8"))]
    assert out.splitlines() == [f"{n}\tc{i}" for i, n in enumerate(expected)] + [f"{sum(expected)}\ttotal"]
    _, out, _ = run("count", chats, "--json")
    assert lines_of(out)[1] == {"id": "c1", "tokens": expected[1]}
    text = tmp_path / "a.txt"
    text.write_text("Hello, wörld!", encoding="utf-8")
    assert run("count", "--text", text)[1].splitlines()[0] == f"{tiktoken_count('Hello, wörld!')}\t{text}"
    text.write_bytes(b"\xff")
    assert run("count", "--text", text)[0] == FAILED


# demo


def test_the_demo_shows_what_was_kept_and_why():
    code, out, _ = run("demo")
    assert code == DONE
    for words in ("7 recorded tool traces", "no room", "with its unit", "selection.explain("):
        assert words in out
    code, out, _ = run("demo", "--json", "--budget", "6000")
    traces = lines_of(out)
    assert len(traces) == 7
    for trace in traces:
        assert trace["tokens_after"] <= 6000 < trace["tokens_before"]
        assert trace["selection"]["tokens"] == trace["tokens_after"]


def test_the_traces_can_be_tried_on_other_commands(tmp_path):
    target = tmp_path / "traces.jsonl"
    code, out, err = run("demo", "--write", target)
    assert (code, out) == (DONE, "")
    assert f"pycontext prune {target} --budget 6000" in err
    code, out, _ = run("prune", target, "--budget", 6000)
    assert code == DONE
    assert all(count_messages(line["messages"]) <= 6000 for line in lines_of(out))


# terminals


def on_a_terminal(args, **environment):
    """Standard error of a run whose standard error is a terminal."""
    main, child = pty.openpty()
    env = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "CI", "TERM")}
    program = [sys.executable, "-m", "pycontext", *map(str, args)]
    with subprocess.Popen(
        program, stdout=subprocess.DEVNULL, stderr=child, env={**env, "TERM": "xterm-256color", **environment}
    ) as process:
        os.close(child)
        output = b""
        while True:
            try:
                chunk = os.read(main, 65536)
            except OSError:
                break
            if not chunk:
                break
            output += chunk
    os.close(main)
    assert process.returncode == DONE
    return output.decode()


def test_people_see_progress_and_colour(chats):
    chats.write_text(chats.read_text(encoding="utf-8") * 300, encoding="utf-8")
    shown = on_a_terminal(["prune", chats, "--budget", 150])
    assert "pruning" in shown
    assert "\x1b[33m" in shown
    plain = on_a_terminal(["prune", chats, "--budget", 150], NO_COLOR="1")
    assert "\x1b[33m" not in plain
    assert "Pruned to 150 tokens" in plain
    quiet = on_a_terminal(["prune", chats, "--budget", 150, "--json"])
    assert "\x1b" not in quiet
    assert json.loads(quiet)["event"] == "summary"


def test_lines_that_are_too_long_are_bad_lines_at_the_end_as_well(tmp_path):
    path = tmp_path / "in.jsonl"
    for end in (b"\n", b""):
        path.write_bytes(b'{"messages": [], "x": "' + b"x" * (65 << 20) + b'"}' + end)
        code, out, err = run("prune", path, "--budget", 100, "--skip-bad", "--json")
        assert (code, out) == (PARTLY, "")
        bad, summary = lines_of(err)
        assert (bad["event"], bad["line"], summary["bad_lines"]) == ("bad_line", 1, 1)


def test_names_are_text_and_no_markup(tmp_path):
    path = write(
        tmp_path / "a[x].jsonl",
        {**conversation("x"), "id": "[/foo]"},
        {**conversation("x"), "id": "[red]name\tx"},
        {**conversation("x"), "id": None},
    )
    code, out, _ = run("inspect", path)
    assert code == DONE
    for words in ("[/foo]", "[red]name x", "a[x].jsonl"):
        assert words in out
    assert [line.split("\t")[1] for line in run("count", path)[1].splitlines()] == [
        "[/foo]",
        "[red]name x",
        "3",
        "total",
    ]


def test_long_names_leave_the_numbers_readable(tmp_path):
    path = write(tmp_path / "in.jsonl", {**conversation("x"), "id": "a very long name " * 30})
    for width in ("60", "100", "140"):
        _, out, _ = run("inspect", path, env={"COLUMNS": width})
        tokens = count_messages(conversation("x")["messages"])
        assert f"{tokens:,}" in out


def test_a_lone_surrogate_beside_the_messages_is_kept(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": "\\ud800", "messages": [{"role": "user", "content": "é"}]}', encoding="utf-8")
    code, out, _ = run("prune", path, "--budget", 100)
    assert code == DONE
    assert lines_of(out) == lines_of(path.read_text(encoding="utf-8"))
    assert run("count", path)[0] == DONE
    assert run("inspect", path)[0] == DONE


def test_a_private_file_stays_private(chats):
    chats.chmod(0o600)
    assert run("prune", chats, "--budget", 150, "-o", chats)[0] == DONE
    assert chats.stat().st_mode & 0o777 == 0o600


def test_output_may_be_named_in_many_ways(chats, tmp_path):
    expected = run("prune", chats, "--budget", 150)[1]
    assert run("prune", chats, "--budget", 150, "-o", "-")[1] == expected
    target = tmp_path / ("x" * 250)
    assert run("prune", chats, "--budget", 150, "-o", target)[0] == DONE
    assert target.read_text(encoding="utf-8") == expected
    link = tmp_path / "link"
    link.symlink_to(target)
    assert run("prune", chats, "--budget", 100, "-o", link)[0] == DONE
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") != expected
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert run("prune", chats, "--budget", 150, "-o", loop)[0] == DONE
    assert loop.read_text(encoding="utf-8") == expected


def test_sums_before_are_of_all_that_was_read(tmp_path):
    big = conversation("big")
    big["messages"][0]["content"] = "rule " * 500
    path = write(tmp_path / "in.jsonl", conversation("a"), big)
    whole = sum(count_messages(entry["messages"]) for entry in (conversation("a"), big))
    _, out, err = run("prune", path, "--budget", 150, "--json")
    summary = lines_of(err)[-1]
    assert summary["tokens_before"] == whole
    assert summary["tokens_after"] == sum(count_messages(line["messages"]) for line in lines_of(out))
    _, out, err = run("prune", path, "--budget", 150, "--json", "--on-overflow", "keep")
    summary = lines_of(err)[-1]
    assert (summary["tokens_before"], summary["messages_before"]) == (whole, 30)
    assert summary["tokens_after"] == sum(count_messages(line["messages"]) for line in lines_of(out))


def test_every_line_of_a_json_report_is_json(tmp_path):
    path = write(tmp_path / "in.jsonl", "{broken")
    code, _, err = run("prune", path, "--budget", 150, "--json")
    assert code == FAILED
    (event,) = lines_of(err)
    assert event["event"] == "error"
    assert f"{path}:1" in event["message"]


def test_a_stop_leaves_nothing_half_written(chats, tmp_path):
    chats.write_text(chats.read_text(encoding="utf-8") * 20_000, encoding="utf-8")
    program = [sys.executable, "-m", "pycontext", "prune", str(chats), "--budget", "150", "-o", str(tmp_path / "out")]
    with subprocess.Popen(program, stderr=subprocess.PIPE) as process:
        while not list(tmp_path.glob(".pycontext-*")):
            assert process.poll() is None
            time.sleep(0.01)
        process.terminate()
        assert process.stderr.read() == b"pycontext: interrupted\n"
        assert process.wait() == FAILED
    assert [entry.name for entry in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_characters_is_no_error(encoding):
    assert run("demo", env={"PYTHONIOENCODING": encoding})[0] == DONE


def test_standard_input_is_read_once_and_may_be_closed():
    assert run("count", "-", "-", stdin=b'{"messages": []}')[1] == "0\t1\n0\ttotal\n"
    done = subprocess.run(["sh", "-c", f"{sys.executable} -m pycontext count <&-"], capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (FAILED, False)


def test_the_version_is_that_of_the_package():
    assert run("--version")[1] == f"{pycontext.__version__}\n"
