"""The page of a set of rows: what it shows is what stands, and it needs no other file."""

import pytest
from test_report import FETCHES, Reader
from test_samples import BEST, SCORED, TRIES, table, with_samples

from conftest import Project, write_lines
from posttrain.report import data, draw

MIXED, PAIRS = "data/micro-rows", "preferences/hostile"
HOSTILE = "<script>alert(1)</script>{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def once(micro_built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout in which the pages of mixed rows, of chosen ones and of pairs were made."""
    project = with_samples(micro_built.copy(tmp_path_factory.mktemp("pages") / "p"))
    pair = {"prompt": HOSTILE, "chosen": "a", "rejected": HOSTILE}
    write_lines(project.path("hostile.jsonl"), [pair, pair | {"chosen": "b"}])
    project.edit("preferences:\n", "preferences:\n  hostile: {sources: [{path: hostile.jsonl}]}\n")
    project.make(*(f"reports/{target}.html" for target in (MIXED, BEST, PAIRS)))
    return project


@pytest.mark.parametrize("target", [MIXED, BEST, PAIRS])
def test_a_page_of_rows_needs_no_other_file(once, target):
    text = once.path(f"reports/{target}.html").read_text()
    read = Reader(text)
    assert not read.tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert not FETCHES & read.attributes.keys()
    assert "url(" not in text and "http" not in text
    assert once.content(target)[:8] in read.text


def test_a_page_shows_rows_that_stand_and_counts_them_all(once):
    said = Reader(once.path(f"reports/{BEST}.html").read_text()).text
    chosen = table(once, BEST)
    assert f"{len(chosen)} rows, train" in said
    assert len(data.at_random(chosen)) == min(len(chosen), data.AT_RANDOM)
    for row in data.at_random(chosen):
        assert " ".join(row["messages"][-1]["content"].split()) in said
    assert "completions 96" in said, "what was read of them"


def test_the_best_and_the_worst_are_those_of_the_highest_and_lowest_scores(once):
    found = data.scored_completions({"completions": once.path(TRIES), "scores": once.path(SCORED)})
    ends = data.extremes(found)
    ranked = sorted((row["score"] for row in table(once, SCORED)), reverse=True)
    wanted = [draw.short(score) for score in ranked[: data.EXTREMES] + ranked[-data.EXTREMES :]]
    assert [row["score"] for row in ends] == wanted


def test_what_a_row_says_is_text_on_its_page(once):
    read = Reader(once.path(f"reports/{PAIRS}.html").read_text())
    assert "script" not in read.tags
    assert read.text.count(HOSTILE) == 4, "two prompts and two answers, as they stand"


def test_a_histogram_counts_every_value_once():
    for values in ([1.0], [3, 3, 3], list(range(100)), [0, 0, 0, 9]):
        chart = draw.histogram("x", values, 10)
        heights = [bar["height"] for bar in chart["bars"]]
        assert sum(height / draw.HEIGHT * chart["most"] for height in heights) == pytest.approx(len(values), abs=0.2)
        assert max(heights) == draw.HEIGHT


def test_a_name_that_no_set_has_is_answered_with_the_nearest(once):
    assert f"reports/{MIXED}.html" in once.refused("-n", "reports/data/micro-rws.html")
