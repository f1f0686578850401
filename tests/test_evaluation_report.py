"""`pycontext eval`, run as a user runs it, and the report that it writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pycontext
from evidence import TALLY, dataset, values
from pycontext.evaluation import Choice, Report, Role, field_of, markdown, run_trial, setting_of
from pycontext.evaluation.plots import draw
from pycontext.evaluation.relay import Relay
from pycontext.evaluation.spending import Spending
from pycontext.messages.openai import from_blocks

DONE, FAILED, USAGE, NOT_FOUND = 0, 1, 2, 3


def run(*args, cwd=None, env=None):
    environment = {**os.environ, "COLUMNS": "110", **(env or {})}
    command = [sys.executable, "-m", "pycontext", "eval", *map(str, args)]
    done = subprocess.run(command, capture_output=True, check=False, cwd=cwd, env=environment)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode(), done.stderr.decode()


@pytest.fixture
def path(tmp_path):
    target = tmp_path / "mine.json"
    target.write_text(json.dumps(values()), encoding="utf-8")
    return target


def test_the_tables_say_what_survived(path, tmp_path):
    page = tmp_path / "report.md"
    code, out, err = run(path, "--budget", 100, "--budget", 200, "--resamples", 50, "-o", page)
    assert (code, err) == (DONE, "")
    assert "\x1b" not in out, "a pipe has no colours"
    for title in ("full-evidence recall", "Gates", "Handoff through a second process", "What the numbers do not show"):
        assert title in out
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Evaluation of mine.json\n")
    assert "| broken promises | 0 |" in text
    assert "necessary for a right answer, not sufficient" in text
    assert "| oracle | 100.0 [100,100] | 100.0 [100,100] |" in text


def test_json_is_one_object_with_every_number(path):
    code, out, err = run(path, "--budget", 100, "--json", "--resamples", 50, "--seed", 7, "--policy", "recent")
    assert (code, err) == (DONE, "")
    found = json.loads(out)
    assert found["whole"] is True
    assert found["setting"]["resamples"] == "50, seed 7"
    (only,) = found["sets"]
    assert (only["name"], only["questions"], only["broken_promises"]) == ("hand-made", 3, {})
    contenders = {one["name"]: one for one in only["contenders"]}
    assert contenders["pycontext, recent"]["role"] == "variant"
    assert contenders["pycontext, evidence"]["role"] == "ours"
    (cell,) = contenders["oracle"]["budgets"]
    assert cell["recall"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert cell["budget"] == 100
    assert only["handoffs"][0]["changed"] == 0


def test_the_same_seed_gives_the_same_report(path):
    first, again = (run(path, "--json", "--budget", 40, "--resamples", 20)[1] for _ in range(2))
    assert first == again


def test_no_colour_where_none_is_wanted(path):
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    _, coloured, _ = run(path, "--budget", 60, "--resamples", 5, env=forced)
    _, plain, _ = run(path, "--budget", 60, "--resamples", 5, env={"NO_COLOR": "1"})
    assert "\x1b[" in coloured
    assert "\x1b[" not in plain


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["nowhere.json"], NOT_FOUND, "pycontext: nowhere.json: No such file or directory"),
        ([], USAGE, "the following arguments are required: DATASET.json"),
        (["mine.json", "--budget", "0"], USAGE, "argument --budget: '0' is not a whole number from 1"),
        (["mine.json", "--resamples", "none"], USAGE, "argument --resamples: 'none' is not a whole number from 1"),
        (["mine.json", "--policy", "none"], USAGE, "policy 'none' is not one of relevance,"),
        (["bad.json"], FAILED, "pycontext: bad.json: queries[0].cid 'none' is no context"),
        (["empty.json"], FAILED, "pycontext: empty.json: not JSON: "),
    ],
)
def test_mistakes_are_one_line_and_a_code(path, args, code, says):
    fields = values()
    fields["queries"][0]["cid"] = "none"
    (path.parent / "bad.json").write_text(json.dumps(fields), encoding="utf-8")
    (path.parent / "empty.json").write_text("", encoding="utf-8")
    found, out, err = run(*args, cwd=path.parent)
    assert (found, out) == (code, "")
    assert says in err.splitlines()[-1]


def test_an_option_whose_extra_is_missing_says_which(path, tmp_path):
    # A module that cannot be imported stands in for one that is not installed.
    (tmp_path / "matplotlib.py").write_text("raise ImportError('none')", encoding="utf-8")
    arguments = path, "--budget", 60, "--resamples", 5, "--plots", tmp_path / "plots"
    code, _, err = run(*arguments, env={"PYTHONPATH": str(tmp_path)})
    assert code == FAILED
    assert err == "pycontext: plots need matplotlib: pip install 'pycontext-layer[plots]'\n"


def test_the_extra_that_plots_need_is_one(path):
    del path
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert any(need.startswith("matplotlib") for need in project["optional-dependencies"]["plots"])


# The report itself


def trial(contenders=None, **options):
    contenders = field_of().contenders if contenders is None else contenders
    return run_trial(dataset(), contenders, tally=TALLY, budgets=(60, 200), resamples=20, **options)


def report(**parts):
    made = trial()
    return Report(setting_of(TALLY, seed=0, resamples=20, commit="abc1234"), [made], **parts)


class Breaker:
    """Keeps everything, whatever the budget, the last first."""

    name, role = "breaker", Role.OURS

    def choices(self, case, budget):
        del budget
        blocks = case.history.blocks
        return [Choice(tuple(reversed(range(len(blocks)))), from_blocks(blocks), 1)]


def test_a_broken_promise_is_named_and_spoils_the_report():
    broken = Report([], [trial([Breaker()])])
    assert not broken.is_whole
    text = markdown(broken)
    for gate in ("order changed", "over the budget", "tokens said are not those counted"):
        assert f"| {gate} |" in text
    assert broken.to_dict()["sets"][0]["broken_promises"]["order changed"] == 6


def test_the_command_fails_where_a_promise_is_broken(path, monkeypatch, capsys):
    from pycontext.cli import main  # noqa: PLC0415

    monkeypatch.setattr("pycontext.cli.eval.run_relay", lambda *_, **__: [Relay(60, 3, 0, 3, 2, 1, 1)])
    assert main(["eval", str(path), "--budget", "60", "--resamples", "5", "--json"]) == FAILED
    out, err = capsys.readouterr()
    assert json.loads(out)["whole"] is False
    assert json.loads(err)["event"] == "broken_promise"


def test_a_report_has_all_that_was_measured():
    spending = Spending("append only", 2, 1_000_000, 500_000, 50, 100, 1)
    made = report(spendings={"chats": [spending]}, absent=["nobody: no reason"])
    text = markdown(made)
    assert "abc1234" in text
    assert "| append only | 2, 1 sent whole | 1,000,000 | 50.0% | 337,500 | - | 3.00 |" in text
    assert "- nobody: no reason" in text
    assert f"sha256 {dataset().sha256[:16]}" in text
    found = made.to_dict()
    assert found["cost"]["chats"][0]["dollars"]["claude-sonnet-4-6"]["without_cache"] == 3.0
    assert json.dumps(found, allow_nan=False)


def test_what_does_not_fit_is_said():
    made = run_trial(dataset(), field_of().contenders, tally=TALLY, budgets=(5,), resamples=5)
    assert made.refused("pycontext, evidence", 5) == 1
    assert "In 1 questions times budgets what must stay did not fit" in markdown(Report([], [made]))


def test_pictures_are_drawn_and_are_the_same_again(tmp_path):
    made = report()
    first, again = draw(made, tmp_path / "a" / "b"), draw(made, tmp_path / "again")
    assert [path.name for path in first] == ["recall.svg", "headroom.svg", "cost.svg"]
    for one, other in zip(first, again, strict=True):
        text = one.read_text(encoding="utf-8")
        assert "hand-made" in text
        assert "pycontext, evidence" in text
        assert text == other.read_text(encoding="utf-8")


def test_the_program_knows_the_command():
    command = [sys.executable, "-m", "pycontext", "--help"]
    assert "eval" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert Path(pycontext.__file__).with_name("evaluation").is_dir()
