"""Scores from completions that were not made here: verifiers, sums and selections, and what is wrong with a table."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from test_refusals import answers, log_of, planned

from conftest import Project, checkout
from posttrain.build.job import Job
from posttrain.data import rows
from posttrain.files import Refusal
from posttrain.score.combining import combined
from posttrain.score.tables import completions_of, scores_of

CHECK = (
    "def even(completion: str, reference: str | None, prompt: list) -> float:\n    return int(completion) % 2 == 0\n"
)
PAGE = """\
use: {completions/old: old}
data:
  above: {scores: sums, select: threshold, min_score: 1}
  top: {scores: sums, select: top_k, k: 2, max_per_prompt: 1}
preferences:
  against: {scores: sums, select: best_vs_random, length_penalty: 0.01, max_chars: 9}
scores:
  numbers: {completions: old, verifier: number_match}
  evens: {completions: old, verifier: {file: check.py, function: even}, on_error: drop}
  sums: {combine: {numbers: 2, evens: 1}}
  strict: {completions: old, verifier: {file: check.py, function: even}}
"""
SAID = [["4", "6", "x", "7"], ["1", "2", "3", "4"], ["5", "5", "5", "5"]]


def completions() -> list[dict]:
    """Four answers each to three prompts, of which 4 is the right one."""
    return [
        {
            "prompt_id": i,
            "sample": j,
            "prompt": [{"role": "user", "content": f"p{i}"}],
            "reference": "#### 4",
            "completion": text,
            "tokens": j + 1,
            "finished": True,
        }
        for i, said in enumerate(SAID)
        for j, text in enumerate(said)
    ]


def adopted(project: Project) -> Project:
    """A checkout with completions from elsewhere, and a page of all that is made of them without a model."""
    project.path("old").mkdir()
    rows.write(completions(), rows.COMPLETIONS, project.path("old/completions.parquet"))
    project.path("check.py").write_text(CHECK)
    project.path("config/recipes/micro.yaml").write_text(PAGE)
    return project


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = adopted(checkout(tmp_path_factory.mktemp("scorers") / "p"))
    project.make("data/above", "data/top", "preferences/against")
    return project


def scores(project: Project, name: str) -> list[float | None]:
    return [row["score"] for row in rows.read(project.path(f"scores/{name}/scores.parquet"))]


def test_scorers_score_and_sums_add(once):
    assert scores(once, "numbers") == [1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]
    assert scores(once, "evens") == [1, 1, None, 0, 0, 1, 0, 1, 0, 0, 0, 0]
    assert scores(once, "sums") == [3, 1, None, 0, 0, 1, 0, 3, 0, 0, 0, 0]


def test_what_a_scorer_fails_on_is_counted_by_its_line_down_to_the_selection(once):
    why = "the verifier fails: check.py:2: ValueError"
    (ledger,) = json.loads(once.path("scores/evens/ledger.json").read_text())["entries"]
    assert (ledger["of"], ledger["read"], ledger["kept"]) == ("completions", 12, 11)
    assert ledger["dropped"] == {why: {"count": 1, "examples": [{"prompt": "p0", "completions": ["x"]}]}}
    _, over = json.loads(once.path("data/above/ledger.json").read_text())["entries"]
    assert over["dropped"]["no score of scores/evens"]["count"] == 1


def chosen(project: Project, target: str) -> list[dict]:
    return rows.read(project.path(target) / "train.parquet")


def test_selections_choose_by_sums(once):
    said = {name: [row["messages"][-1]["content"] for row in chosen(once, f"data/{name}")] for name in ("above", "top")}
    assert said == {"above": ["4", "6", "4", "2"], "top": ["4", "4"]}
    pairs = chosen(once, "preferences/against")
    assert [row["chosen"][0]["content"] for row in pairs] == ["4", "4"]
    prompts, _ = json.loads(once.path("preferences/against/ledger.json").read_text())["entries"]
    assert {why: said["count"] for why, said in prompts["dropped"].items()} == {
        "the best and the random are the same text": 1
    }


def test_a_scorer_that_fails_is_refused_by_prompt_sample_and_line(once, tmp_path):
    project = once.copy(tmp_path / "p")
    project.make("scores/strict", rc=1)
    says = "scores/strict: prompt 0, sample 2: the verifier fails: check.py:2: ValueError: invalid literal for int() …"
    assert answers(says, log_of(project, "scores/strict", "score_completions")[-1])


def test_a_function_is_its_files_text_wherever_that_lies(fresh, monkeypatch):
    project = adopted(fresh)
    before = planned(project, monkeypatch)
    assert before["scores/evens"]["texts"] == {"verifier": CHECK}, "a job reads the plan alone"
    project.path("lab").mkdir()
    project.path("lab/mine.py").write_text(CHECK)
    project.edit("check.py", "lab/mine.py")
    moved = planned(project, monkeypatch)
    assert moved["scores/evens"]["intent"] == before["scores/evens"]["intent"]
    assert moved["scores/evens"]["identity"] != before["scores/evens"]["identity"]
    project.path("lab/mine.py").write_text(CHECK.replace("== 0", "== 1"))
    after = planned(project, monkeypatch)
    changed = {path for path in before if after[path]["intent"] != before[path]["intent"]}
    assert changed == {"scores/evens", "scores/strict", "scores/sums", "data/above", "data/top", "preferences/against"}


def test_a_plan_runs_no_function(fresh, monkeypatch):
    project = adopted(fresh)
    project.path("check.py").write_text(CHECK + "\nopen('ran', 'w')\n")
    planned(project, monkeypatch)
    assert not project.path("ran").exists()


# Tables that are not what they should be


def without(table: pa.Table, column: str) -> pa.Table:
    return table.drop_columns([column])


def put(table: pa.Table, column: str, values: list, kind: pa.DataType) -> pa.Table:
    return table.set_column(table.column_names.index(column), column, pa.array(values, kind))


MALFORMED = {
    "no prompt": (lambda t: without(t, "prompt"), "completions.parquet: has no column 'prompt'; it has prompt_id, …"),
    "prompts of text": (
        lambda t: put(t, "prompt", ["p"] * 12, pa.string()),
        "completions.parquet: column 'prompt' is of string, not list<…>",
    ),
    "a completion of nothing": (
        lambda t: put(t, "completion", ["a", None, *"abcdefghij"], pa.string()),
        "completions.parquet row 2: column 'completion': has no value",
    ),
    "prompts without turns": (
        lambda t: put(t, "prompt", [[]] * 12, rows.TURNS),
        "completions.parquet row 1: column 'prompt': has no turns",
    ),
    "a sample twice": (
        lambda t: pa.concat_tables([t, t.slice(5, 1)]),
        "completions.parquet: prompt 1, sample 1: is there twice",
    ),
    "no rows": (lambda t: t.slice(0, 0), "completions.parquet: has no rows"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_malformed_completions_are_refused(tmp_path, fault):
    change, says = MALFORMED[fault]
    table = change(pa.Table.from_pylist(completions(), rows.COMPLETIONS))
    parquet.write_table(table, tmp_path / "completions.parquet")
    with pytest.raises(Refusal) as refused:
        completions_of(tmp_path)
    assert answers(f"{tmp_path}/{says}", str(refused.value)), refused.value


def scored(*others: dict, less: int = 0) -> list[dict]:
    made = [{"prompt_id": row["prompt_id"], "sample": row["sample"], "score": 1.0} for row in completions()]
    return made[: len(made) - less] + list(others)


WRONG = {
    "no number": (
        [row | {"score": math.nan} if row["sample"] == 1 else row for row in scored()],
        "scores.parquet: prompt 0, sample 1: the score is nan",
    ),
    "infinite": ([*scored(less=1), scored()[-1] | {"score": math.inf}], "…prompt 2, sample 3: the score is inf"),
    "of nothing": (
        scored({"prompt_id": 7, "sample": 0, "score": 1.0}),
        "scores.parquet: 1 of its scores are of no completion there is: prompt 7, sample 0",
    ),
    "missing": (scored(less=2), "scores.parquet: 2 completions have no score: prompt 2, sample 2"),
    "twice": (scored(scored()[0]), "scores.parquet: prompt 0, sample 0: is there twice"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_malformed_scores_are_refused(tmp_path, fault):
    made, says = WRONG[fault]
    rows.write(made, rows.SCORES, tmp_path / "scores.parquet")
    with pytest.raises(Refusal) as refused:
        scores_of(tmp_path, completions())
    assert answers(f"{tmp_path}/{says}", str(refused.value)), refused.value


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "completions.parquet").write_text("no")
    with pytest.raises(Refusal, match=r"completions.parquet: not parquet: "):
        completions_of(tmp_path)


def test_scores_in_any_order_are_those_of_their_completions(tmp_path):
    made = [row | {"score": float(i)} for i, row in enumerate(scored())]
    rows.write(made[::-1], rows.SCORES, tmp_path / "scores.parquet")
    assert [row["score"] for row in scores_of(tmp_path, completions())] == list(range(12))
    job = Job("scores/x", {"combine": {"a": -2}}, {"scores.a": tmp_path}, {}, {}, {}, Path())
    assert [row["score"] for row in combined(job, completions())] == [-2 * i for i in range(12)]
