"""The report of a batch: what it says, that no text of others becomes markup, and that a browser shows it."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import image

from browser import CHROMIUM, opened
from fetched import NoProgramError
from pycontext.batch import figures
from pycontext.batch.markup import element, shown
from pycontext.batch.report import html_report
from pycontext.selection import WORDS, Reason

ROOT = Path(__file__).parent.parent
BOUNDS = [0, 1, 2, 3, *(bound for power in range(2, 20) for bound in (2**power, 3 * 2 ** (power - 1)))]
BUCKETS = len(BOUNDS) - 1
COUNTS = ("conversations", "written", "untouched", "could_not_fit", "near_duplicates", "bad_lines", "estimated")
COUNTS += ("messages_before", "messages_after", "tokens_before", "tokens_after", "bytes_read", "bytes_written")
VOID = ("meta",)


def cost(*numbers):
    return dict(zip(("messages_before", "messages_after", "tokens_before", "tokens_after"), numbers, strict=True))


def in_buckets(**counts):
    """Conversations in the buckets that begin with these bounds."""
    return [counts.get(f"from_{bound}", 0) for bound in BOUNDS[:-1]]


SUMMARY = {
    "event": "summary",
    "input": ["first.jsonl", "second.jsonl"],
    "output": "out.jsonl",
    "budget": 4_000,
    "available": 3_500,
    "policy": "relevance",
    "query": "last-user",
    "encoding": "o200k_base",
    "conversations": 1_203,
    "written": 1_196,
    "untouched": 1_021,
    "could_not_fit": 7,
    "near_duplicates": 31,
    "bad_lines": 13,
    "estimated": 5,
    "messages_before": 30_882,
    "messages_after": 20_340,
    "tokens_before": 8_210_334,
    "tokens_after": 2_004_556,
    "bytes_read": 41_345_678,
    "bytes_written": 11_345_678,
    "by_type": {
        "system": cost(1_203, 1_203, 601_500, 601_500),
        "user": cost(6_204, 5_110, 312_044, 220_133),
        "tool": cost(23_475, 14_027, 7_296_790, 1_182_923),
    },
    "fell": {
        "budget": {"messages": 9_021, "tokens": 5_205_778},
        "unit": {"messages": 1_521, "tokens": 1_000_000},
        "orphan": {"messages": 0, "tokens": 0},
    },
    "largest": [
        {"line": 1_017, "id": "call-17", "messages": 612, "tokens_before": 411_002, "tokens_after": 3_488},
        {"line": 4, "id": "call-4", "messages": 97, "tokens_before": 90_417, "tokens_after": 3_499},
    ],
    "histogram": {
        "bounds": BOUNDS,
        "before": in_buckets(from_1024=700, from_2048=321, from_4096=102, from_8192=80),
        "after": in_buckets(from_1024=700, from_2048=321, from_3072=182),
    },
    "seconds": 12.3,
}

EMPTY = {
    **SUMMARY,
    **dict.fromkeys(COUNTS, 0),
    "output": None,
    "query": None,
    "by_type": {"user": cost(0, 0, 0, 0)},
    "fell": {},
    "largest": [],
    "histogram": {"bounds": BOUNDS, "before": [0] * BUCKETS, "after": [0] * BUCKETS},
    "seconds": 0,
}

# What the page is made of. A text of others can add nothing to it.
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "role", "scope", "tabindex", "aria-label"),
    *("aria-hidden", "x", "y", "x1", "x2", "y1", "y2", "dy", "rx", "width", "height", "viewbox", "text-anchor"),
}


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text of each."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.texts = []
        self._open = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        if tag not in VOID:
            self._open.append((tag, len(self.texts) - 1))

    def handle_endtag(self, tag):
        opened_tag, _ = self._open.pop()
        assert tag == opened_tag

    def handle_data(self, data):
        for _, at in self._open:
            self.texts[at] += data

    def all(self, name, kind=None):
        """The text of each such element, its blanks as one."""
        return [
            " ".join(text.split())
            for (tag, attributes), text in zip(self.elements, self.texts, strict=True)
            if tag == name and (kind is None or kind in attributes.get("class", "").split())
        ]

    @property
    def text(self):
        return self.all("body")[0]

    @property
    def shape(self):
        """All of it but texts and what says them to who does not see."""
        return [
            (tag, {key: value for key, value in attributes.items() if key not in ("aria-label", "class")})
            for tag, attributes in self.elements
        ]


def page_of(**changes):
    return Page(html_report({**SUMMARY, **changes}))


def rows(page):
    """The cells of each row of each table, without those that hold drawings."""
    found, row = [], None
    for (tag, attributes), text in zip(page.elements, page.texts, strict=True):
        if tag == "tr":
            found.append(row := [])
        elif tag in ("th", "td") and attributes.get("class") != "bars":
            row.append(" ".join(text.split()))
    return found


def test_the_numbers_are_those_of_the_summary():
    page = page_of()
    assert page.all("h1") == ["1,203 conversations, 75.6% fewer tokens"]
    assert page.all("title")[0] == "1,203 conversations, 75.6% fewer tokens · pycontext batch"
    assert page.all("dd", "figure") == [
        "8,210,334 → to 2,004,556",
        "75.6%",
        "1,203",
        "30,882 → to 20,340",
        "12.3 s",
    ]
    notes = page.all("dd", "note")
    assert notes[1:4] == ["6,205,778 fewer tokens", "1,196 written, 1,021 untouched", "65.9% stayed"]
    assert notes[4] == "98 conversations and 668k tokens a second"
    assert page.all("li") == [
        "problem13 lines that hold no conversation and were left out",
        "problem7 conversations in which what must stay is larger than the budget",
        "problem5 conversations with tokens that were estimated, not counted",
        "remark31 conversations left out because another says nearly the same",
    ]
    found = rows(page)
    for row in (
        ["system", "1,203", "1,203", "601,500", "601,500", "0%"],
        ["user", "6,204", "5,110", "312,044", "220,133", "29.5%"],
        ["tool", "23,475", "14,027", "7,296,790", "1,182,923", "83.8%"],
        ["all", "30,882", "20,340", "8,210,334", "2,004,556", "75.6%"],
        ["no room budget", "9,021", "5,205,778", "83.9%"],
        ["with its unit unit", "1,521", "1,000,000", "16.1%"],
        ["all", "10,542", "6,205,778", "100%"],
        ["call-17", "1,017", "612", "411,002", "3,488", "99.2%"],
        ["call-4", "4", "97", "90,417", "3,499", "96.1%"],
        ["3,072", "4,096", "0", "182"],
        ["4,096", "6,144", "102", "0"],
    ):
        assert found.count(row) == 1, row
    assert not any("orphan" in cell for row in found for cell in row), "nothing fell for that reason"
    settings = dict(zip(page.all("dt")[5:], page.all("dd")[10:], strict=True))
    assert settings == {
        "Budget": "4,000 tokens a conversation",
        "Available": "3,500 tokens of it for messages",
        "Policy": "relevance",
        "Query": "last-user",
        "Encoding": "o200k_base",
        "Read": "first.jsonl, second.jsonl (41.3MB)",
        "Written": "out.jsonl (11.3MB)",
    }


def bars(page):
    """How long each bar is, by the title of its picture."""
    found = {}
    for at, (tag, _) in enumerate(page.elements):
        if tag == "svg" and page.elements[at + 1][0] == "title":
            lengths = [attributes["width"] for name, attributes in page.elements[at + 2 : at + 4] if name == "rect"]
            found[page.texts[at + 1]] = lengths
    return found


def test_bars_are_as_long_as_their_numbers():
    found = bars(page_of())
    assert found["8,210,334 tokens before, 2,004,556 after"] == ["100.00%", "24.42%"]
    assert found["7,296,790 before, 1,182,923 after"] == ["100.00%", "16.21%"]
    assert found["601,500 before, 601,500 after"] == ["8.24%", "8.24%"]
    assert found["90,417 before, 3,499 after"] == ["22.00%", "0.85%"]
    none = page_of(by_type={"user": cost(9, 9, 10**9, 10**9), "tool": cost(1, 0, 1, 0)})
    assert bars(none)["1 before, 0 after"] == ["0.40%", "0%"], "what is there at all can be seen"


def histogram_of(page):
    """Left end, width and height of each bar, by what it says; and of the line."""
    found, line, inside = {}, None, False
    for at, (tag, attributes) in enumerate(page.elements):
        inside = attributes.get("class") == "histogram" if tag == "svg" else inside
        if inside and tag == "rect":
            box = {name: float(attributes[name]) for name in ("x", "y", "width", "height")}
            assert box["y"] + box["height"] == pytest.approx(272, abs=0.02), "it stands on the axis"
            found[page.texts[at + 1]] = (box["x"], box["width"], box["height"])
        if inside and attributes.get("class") == "mark":
            line = float(attributes["x1"])
    return found, line


def test_the_histogram_has_a_bar_for_each_bucket_with_conversations():
    found, line = histogram_of(page_of())
    assert set(found) == {
        *(f"1,024 to 1,535 tokens: 700 conversations {when}" for when in ("before", "after")),
        *(f"2,048 to 3,071 tokens: 321 conversations {when}" for when in ("before", "after")),
        "3,072 to 4,095 tokens: 182 conversations after",
        "4,096 to 6,143 tokens: 102 conversations before",
        "8,192 to 12,287 tokens: 80 conversations before",
    }
    high = found["1,024 to 1,535 tokens: 700 conversations before"]
    low = found["8,192 to 12,287 tokens: 80 conversations before"]
    assert high[2] / low[2] == pytest.approx(700 / 80, rel=1e-3)
    # Empty buckets at both ends are left out: seven stay, over all of the axis.
    assert low[0] - high[0] == pytest.approx(880 * 6 / 7, abs=0.1)
    narrow = found["1,024 to 1,535 tokens: 700 conversations after"]
    assert narrow[1] < high[1] * 0.6, "bars that stand in each other are told apart without colours"
    left, width, _ = found["3,072 to 4,095 tokens: 182 conversations after"]
    assert left < line < left + width, "3,500 are in that bucket"
    # Where everything has room the axis goes on to the line; where no bucket has it there is none.
    roomy, far = histogram_of(page_of(available=100_000))
    assert set(roomy) == set(found)
    assert far > max(x + width for x, width, _ in roomy.values())
    assert histogram_of(page_of(available=BOUNDS[-1] + 1))[1] is None


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9, 10, 11, 41, 99, 100, 1_000, 123_456, 10**14])
def test_the_axis_of_counts_is_whole_numbers_that_hold_all(count):
    page = page_of(histogram={"bounds": [66, 777, 7_777], "before": [0, count], "after": [0, 0]})
    found, _ = histogram_of(page)
    ((_, _, height),) = found.values()
    assert 0.5 * 246 <= height <= 246.01, "below the top, and not far"
    labels = [text for text in page.all("text") if text not in ("conversations", "tokens a conversation")]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("seconds", [0, None, float("nan"), float("inf"), "absent"])
def test_an_empty_run_is_a_page_as_well(seconds):
    summary = {**EMPTY, "seconds": seconds}
    if seconds == "absent":
        del summary["seconds"]
    page = Page(html_report(summary))
    assert page.all("h1") == ["No conversations"]
    assert page.all("dd", "figure") == ["0 → to 0", "–", "0", "0 → to 0", "–"]
    assert page.all("h2") == [
        *("No problems", "Tokens by type", "What fell, and why", "Tokens a conversation", "Largest conversations"),
        "Settings",
    ]
    assert page.all("table") == []
    assert "nan" not in page.text.lower().split()
    assert "Query" in page.all("dt")
    assert "none" in page.all("dd")
    assert "to no file" in page.all("dd")


def test_one_conversation_without_seconds_and_with_nothing_in_it():
    page = page_of(**{**EMPTY, "conversations": 1, "written": 1})
    assert page.all("h1") == ["1 conversation, as many tokens as before"]
    assert page.all("dd", "note")[-1] == "nothing to measure"
    assert "Every line was read, counted exactly and cut to the budget." in page.all("p")


def test_more_tokens_than_before_are_called_more():
    page = page_of(tokens_before=1_000, tokens_after=1_250)
    assert page.all("h1") == ["1,203 conversations, 25.0% more tokens"]
    assert page.all("dd", "most") == ["+25.0%"]
    assert bars(page)["1,000 tokens before, 1,250 after"] == ["80.00%", "100.00%"]


def test_every_reason_has_its_words_in_the_table():
    page = page_of(fell={reason.value: {"messages": 1, "tokens": 1} for reason in Reason})
    assert {f"{WORDS[reason]} {reason}" for reason in Reason} <= {row[0] for row in rows(page)}


def test_problems_are_shown_when_there_are_some_and_only_then():
    names = ("bad_lines", "could_not_fit", "estimated", "near_duplicates")
    for name in names:
        page = page_of(**{**dict.fromkeys(names, 0), name: 1})
        ((said),) = page.all("li")
        assert re.match(r"(problem|remark)1 (line|conversation) ", said)
        assert len(page.all("section", "problems")) == (name != "near_duplicates")
    assert page_of(**dict.fromkeys(names, 0)).all("h2")[0] == "No problems"


STRANGE = "<>&\"'`=/!-]\0\t\n\r\x0b\x1b\x7f\x85\u2028\u202e\u200f\u2066\ud800\udfff\ufeff aé"
# Texts of people who want to be more than text.
NASTY = st.one_of(
    st.text(st.characters(), max_size=100),
    st.text(
        st.sampled_from("<>&\"'`=/!-]\0\t\n\r\x0b\x1b\x7f\x85\u2028\u202e\u200f\u2066\ud800\udfff\ufeff aé"),
        max_size=100,
    ),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "</title><script>alert(1)</script>",
            "</style><style>*{display:none}",
            '"><img src=x onerror=alert(1)>',
            "' onmouseover='alert(1)",
            "<!--",
            "]]>",
            "&lt;script&gt;&amp;&#60;",
            "</bdi></th></tr></table>",
            "http://example.com/?a=1&b=2",
            "javascript:alert(1)",
            "\u202egnp.exe",
            "שלום (42)",
            "a\u0301\u0323\u0330" * 30,
            "\ufdfd" * 100,
            "{id}%s%(id)s${id}",
        ]
    ),
)


def with_text(text):
    """The summary with a text wherever it has one."""
    summary = copy.deepcopy(SUMMARY)
    summary |= {"input": [text, text], "output": text, "policy": text, "query": text, "encoding": text}
    summary["by_type"][text] = cost(1, 1, 1, 1)
    summary["fell"][text] = {"messages": 1, "tokens": 1}
    for one in summary["largest"]:
        one |= {"id": text, "file": text}
    return summary


# With a text that is neither a type nor a reason, and nothing but letters.
PLAIN = Page(html_report(with_text("plain")))


@given(NASTY.filter(lambda text: text not in SUMMARY["by_type"] and text not in {reason.value for reason in Reason}))
def test_no_text_becomes_an_element_or_an_attribute(text):
    written = html_report(with_text(text))
    written.encode("utf-8")
    assert not re.search("[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]", written)
    page = Page(written)
    assert page.shape == PLAIN.shape
    assert {key for _, attributes in page.elements for key in attributes} <= ATTRIBUTES
    # Parsed, it is the text that came, as far as it can be printed, and as often.
    names = [text for (tag, _), text in zip(page.elements, page.texts, strict=True) if tag == "bdi"]
    assert names.count(shown(text)) + names.count(shown(text, 40)) * (shown(text, 40) != shown(text)) == 15
    assert len(shown(text)) <= 80


def test_what_cannot_be_printed_is_one_sign_and_the_rest_stays():
    assert shown("a\x00\n\u202eb\ud800 é漢") == "a\ufffd\ufffd\ufffdb\ufffd é漢"
    assert shown(17) == "17"
    assert shown("x" * 80) == "x" * 80
    clipped = shown("head" + "x" * 10_000_000 + "tail")
    assert (len(clipped), clipped[:4], clipped[-4:], clipped.count("…")) == (80, "head", "tail", 1)
    assert element("p", "<b>", title='"') == '<p title="&quot;">&lt;b&gt;</p>'


def test_megabytes_of_an_id_are_not_on_the_page():
    huge = "<" * 10_000_000
    summary = with_text(huge)
    summary["input"] = [huge] * 1_000
    written = html_report(summary)
    assert len(written) < 60_000
    assert "and 990 more" in Page(written).text


def test_ids_and_files_may_be_missing():
    largest = [{**SUMMARY["largest"][0], "id": None, "file": "a.jsonl"}, SUMMARY["largest"][1]]
    found = rows(page_of(largest=largest, input=[]))
    assert ["–", "a.jsonl", "1,017"] in [row[:3] for row in found]
    assert ["call-4", "–", "4"] in [row[:3] for row in found]


def test_nothing_is_fetched_and_nothing_runs():
    written = html_report(SUMMARY)
    assert written.startswith("<!DOCTYPE html>\n")
    assert not re.search(r"https?:|//|url\(|@import|<script|<link|<img|javascript:|\bon[a-z]+=", written)
    page = Page(written)
    assert not {"src", "href", "srcset", "xlink:href", "style", "action", "data"} & {
        key for _, attributes in page.elements for key in attributes
    }
    policies = [at["content"] for _, at in page.elements if at.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]
    # Before the browser has read of what it must not do it has read nothing else than how to read.
    assert [tag for tag, _ in page.elements[:5]] == ["html", "head", "meta", "meta", "meta"]


def test_tables_and_pictures_say_what_they_are():
    page = page_of()
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in page.elements if tag == "th")
    for at, (tag, attributes) in enumerate(page.elements):
        if tag == "svg" and "aria-hidden" not in attributes:
            assert attributes["role"] == "img"
            assert page.elements[at + 1][0] == "title"
            assert page.texts[at + 1]
    (described,) = page.all("desc")
    assert described == (
        "Before: most conversations, 700 of 1,203, have 1,024 to 1,535 tokens. "
        "After: most conversations, 700 of 1,203, have 1,024 to 1,535 tokens."
    )
    assert len(page.all("caption")) == len(page.all("table")) == 4


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (figures.share(0, 7), "0%"),
        (figures.share(1, 10_000), "<0.1%"),
        (figures.share(99_999, 100_000), ">99.9%"),
        (figures.share(7, 7), "100%"),
        (figures.share(1, 0), "–"),
        (figures.saved(3, 4), "+33.3%"),
        (figures.short(0), "0"),
        (figures.short(0.25), "0.25"),
        (figures.short(99_999.4), "99,999"),
        (figures.short(99_999.6), "100k"),
        (figures.short(999_499), "999k"),
        (figures.short(999_500), "1.00M"),
        (figures.short(12_345_678), "12.3M"),
        (figures.short(5e15), "5,000T"),
        (figures.size(1), "1 byte"),
        (figures.size(123_456), "123kB"),
        (figures.duration(0.0123), "12 ms"),
        (figures.duration(0.0996), "0.1 s"),
        (figures.duration(59.96), "1 min 0 s"),
        (figures.duration(3_725), "1 h 2 min"),
    ],
)
def test_numbers_are_short_and_never_wrong(found, said):
    assert found == said


@cache
def refused():
    """Why there is no browser, if so."""
    try:
        CHROMIUM.program()
    except NoProgramError as error:
        return str(error)
    return None


@pytest.fixture
def chromium():
    if CHROMIUM.skipped:
        pytest.skip(CHROMIUM.skip_reason)
    if refused():
        pytest.fail(refused(), pytrace=False)


def saved_as(folder, summary):
    page = folder / "out.html"
    page.write_text(html_report(summary), encoding="utf-8")
    return page


def complaints(err):
    """What the page made the browser say."""
    return [line for line in err.splitlines() if re.search(r"CONSOLE|Content.Security.Policy|Refused|Uncaught", line)]


@pytest.mark.usefixtures("chromium")
def test_a_browser_shows_what_the_page_says(tmp_path):
    said, err = opened(saved_as(tmp_path, SUMMARY), tmp_path, "--dump-dom")
    assert complaints(err) == []
    page, written = Page(re.sub(r"<(meta[^>]*)>", r"<\1>", said)), page_of()
    assert page.all("h1") == ["1,203 conversations, 75.6% fewer tokens"]
    assert page.all("dd", "figure") == written.all("dd", "figure")
    assert rows(page) == rows(written)
    # One pair above, one a type, one a conversation, and seven in the histogram; three keys have one of each.
    assert len(page.all("rect", "bar")) == 2 + 2 * 3 + 2 * 2 + 7 + 3 * 2
    # What it parsed is what was written: it had to mend nothing.
    assert page.shape == written.shape


@pytest.mark.usefixtures("chromium")
def test_a_browser_makes_no_element_of_a_text(tmp_path):
    texts = ["</title></style><script>console.log('ran')</script>", "<img src=x onerror=console.log(1)>\u202e\0\ud800"]
    for text in texts:
        said, err = opened(saved_as(tmp_path, with_text(text)), tmp_path, "--dump-dom")
        assert complaints(err) == []
        assert Page(said).shape == PLAIN.shape
        assert "<script" not in said
        assert "<img" not in said


@pytest.mark.usefixtures("chromium")
def test_a_browser_is_held_to_the_policy(tmp_path):
    page = saved_as(tmp_path, SUMMARY)
    added = "<script>document.title = 'ran'</script><img src='other.png'></body>"
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", added), encoding="utf-8")
    said, err = opened(page, tmp_path, "--dump-dom")
    assert len(complaints(err)) >= 2, err
    assert "<title>ran" not in said


@pytest.mark.usefixtures("chromium")
@pytest.mark.parametrize("color", ["light", "dark"])
def test_a_screenshot_is_a_page_with_bars(tmp_path, color):
    picture = tmp_path / "page.png"
    page = saved_as(tmp_path, SUMMARY)
    _, err = opened(page, tmp_path, "--window-size=1200,2000", f"--screenshot={picture}", color=color)
    assert complaints(err) == []
    pixels = (image.imread(picture)[:, :, :3] * 255).round().astype(int)
    assert pixels.shape == (2_000, 1_200, 3)
    styled = re.findall(r"--(page|before|after): (#[0-9a-f]{6})", html_report(SUMMARY))
    values = [tuple(bytes.fromhex(value[1:])) for _, value in styled]
    # First those of a light page, then those of a dark one.
    ground, before, after = values[:3] if color == "light" else values[3:6]
    for value, least in ((ground, 100_000), (before, 5_000), (after, 5_000)):
        assert (pixels == value).all(axis=2).sum() > least, (color, value)
    # Colours at the edges of letters.
    assert len({tuple(pixel) for pixel in pixels[::5, ::5].reshape(-1, 3).tolist()}) > 50


def test_a_browser_that_cannot_be_had_is_a_sentence(tmp_path):
    def absent(_room):
        raise NoProgramError("no network")

    with pytest.raises(NoProgramError) as none:
        CHROMIUM.fetch(tmp_path / "chromium", {"nowhere": absent})
    assert str(none.value) == (
        "no chromium on PATH and none to fetch (nowhere: no network): "
        "install it, or leave its tests out with PYCONTEXT_SKIP_CHROMIUM=1"
    )


def test_who_goes_round_the_browser_is_told_so(tmp_path):
    options = ["-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}", "-k", "held_to_the_policy", __file__]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *options],
        cwd=ROOT,
        env={**os.environ, "PYCONTEXT_SKIP_CHROMIUM": "1"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"^=+ 1 skipped, \d+ deselected in", run.stdout, re.MULTILINE), run.stdout
    assert f"NOT TESTED: 1 test: {CHROMIUM.skip_reason}\n" in run.stdout


def test_a_summary_that_went_through_json_gives_the_same_page():
    assert html_report(json.loads(json.dumps(SUMMARY))) == html_report(SUMMARY)
