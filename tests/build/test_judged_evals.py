"""Evaluations by a judge: what it says of a model's answers, and what is seen of the judge itself."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Project, write_lines
from judges import always
from posttrain.build.job import Job
from posttrain.data import rows
from posttrain.evaluate import points, ratings, wins
from posttrain.evaluate.points import Point
from posttrain.files import Refusal, write_json
from posttrain.report import page

DUEL, TALK = "evals/micro-dpo/duel", "evals/micro-sft/talk"
QUESTIONS = [["ant", "bee"], ["cat", "dog"], ["eel", "x" * 40]]  # the last leaves no room for an answer
EVALS = """\
evals:
  duel:
    models: [micro-dpo]
    against: micro-sft
    prompts: asked
    split: train
    judge: says-a
    rubric: better
    sampling: {max_new_tokens: 12}
    judging: {max_new_tokens: 4}
  talk:
    models: [micro-sft]
    prompts: talks
    split: train
    judge: says-7
    rubric: helpful
    sampling: {max_new_tokens: 12, block_size: 2}
    judging: {max_new_tokens: 4}
    runtime: {shards: 2}
use:
  models/says-a: says-a
  models/says-7: says-7
"""
DATA = """\
data:
  asked: {sources: [{path: rows.jsonl, rows: 6}]}
  talks: {sources: [{path: talks.jsonl, columns: {prompt: questions, good: answers}, format: questions}]}
"""


@pytest.fixture(scope="module")
def once(micro_built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout in which two judges have said the one thing that they say."""
    project = micro_built.copy(tmp_path_factory.mktemp("judged") / "p")
    always("Verdict: [[A]]", project.path("says-a"))
    always("Rating: [[7]]", project.path("says-7"))
    good = [["a bee"], [], ["an eel", "none"]]
    write_lines(project.path("talks.jsonl"), [{"prompt": a, "good": b} for a, b in zip(QUESTIONS, good, strict=True)])
    project.edit("data:\n", DATA)
    project.add(EVALS)
    project.make(DUEL, TALK)
    return project


def said(project: Project, target: str) -> dict:
    return json.loads((project.path(target) / "figures.json").read_text())


def samples(project: Project, target: str) -> list[dict]:
    return rows.read(project.path(target) / "samples.parquet")


# Real models


def test_a_judge_that_always_answers_a_yields_half_and_a_warning(once):
    found = said(once, DUEL)
    assert found["counts"] == {"prompts": 6, "left_out": 0}
    values = {name: figure["value"] for name, figure in found["figures"].items()}
    assert values == {"win_rate": 0.5, "inconsistent": 1.0, "first_place": 1.0, "unjudged": 0.0}
    (warning,) = found["warnings"]
    assert warning.startswith("the judge goes by the place: of 6 of 6 pairs the verdict changes with the order")
    log = once.path("logs/evaluate_model/micro-dpo/duel.log").read_text()
    assert f"{DUEL}: {warning}" in log


def test_both_answers_to_each_prompt_are_shown_in_both_orders(once):
    made = samples(once, DUEL)
    inputs = once.targets()[DUEL]["inputs"]
    answers = [rows.read(once.path(inputs[role]) / "completions.parquet") for role in ("answers", "against")]
    assert [row["completion"] for row in made] == [row["completion"] for row in answers[0]]
    assert [row["against"] for row in made] == [row["completion"] for row in answers[1]]
    assert {(row["reply_first"], row["reply_second"]) for row in made} == {("Verdict: [[A]]",) * 2}
    assert {(row["verdict_first"], row["verdict_second"], row["score"]) for row in made} == {(1.0, 1.0, 0.5)}


def test_each_turn_is_answered_and_rated_behind_all_before_it(once):
    made = samples(once, TALK)
    assert [(row["prompt_id"], row["turn"]) for row in made] == [(i, turn) for i in range(3) for turn in (1, 2)]
    for first, second in zip(made[::2], made[1::2], strict=True):
        question, later = QUESTIONS[first["prompt_id"]]
        asked = [{"role": "user", "content": question}]
        assert first["prompt"] == asked and first["score"] == 7
        answer = {"role": "assistant", "content": first["completion"]}
        assert second["prompt"] == [*asked, answer, {"role": "user", "content": later}]
    assert [row["reference"] for row in made] == ["a bee", None, None, None, "an eel", "none"]
    assert (
        [row["completion"] is None for row in made] == [row["why"] is not None for row in made] == [False] * 5 + [True]
    )
    assert made[-1]["why"] == "no room for an answer"


def test_ratings_are_counted_by_turn_and_what_has_none_beside_them(once):
    found = said(once, TALK)
    assert found["counts"] == {"prompts": 3, "left_out": 0, "answers": 6}
    values = {name: figure["value"] for name, figure in found["figures"].items()}
    assert values == {"rating": 7, "rating_turn_1": 7, "rating_turn_2": 7, "unrated": pytest.approx(1 / 6)}
    assert found["figures"]["unrated"]["low"] == 0 < found["figures"]["unrated"]["high"]
    assert found["warnings"] == [
        "1 of 6 answers have no rating, and count in no other figure",
        "the judge rates each of 5 answers 7, and tells none from another",
    ]


def test_a_page_counts_what_the_answers_to_a_judge_cost(once, monkeypatch):
    monkeypatch.chdir(once.root)
    shown = page.shown(once.targets(), "models/micro-sft")
    answers = next(build for build in shown["builds"] if build.path.startswith("answers/"))
    parts = [path for role, path in answers.target["inputs"].items() if role.startswith("shard.")]
    took = sum(once.manifest(f"{part}.run")["seconds"] for part in parts)
    assert len(parts) == 2 and answers.shard_seconds == took > 0
    assert shown["cost"]["seconds"] >= took + sum(build.seconds for build in shown["builds"] if build != answers)


def test_another_judge_asks_no_model_anew_and_another_model_asks_but_that_one(once, tmp_path):
    project = once.copy(tmp_path / "p")
    project.edit("rubric: better", "rubric: mine")
    project.path("config/judges/mine.jinja").write_text("{{ first }} {{ second }} Verdict: [[")
    assert project.planned(DUEL) == {DUEL: "evaluate_model"}
    project.edit("models: [micro-dpo]", "models: [micro-dpo, micro-init]")
    planned = project.planned("evals/micro-init/duel").values()
    assert sorted(planned) == ["evaluate_model", "gather_answers", "sample_shard"]


# Figures of verdicts


def pair(number: int, first: float | None, second: float | None, ours: str = "a", theirs: str = "b") -> dict:
    """A pair's sample, by what the first place is worth where the model's answer stands there, and where not."""
    both = {"verdict_first": first, "verdict_second": second, "completion": ours, "against": theirs}
    worth = None if None in (first, second) else first if first == 1 - second else 0.5
    return {"prompt_id": number, "score": worth, **both}


def values(found: list[Point]) -> dict[str, float]:
    """The figures of points, without their intervals, which take their time."""
    names = dict.fromkeys(point.figure for point in found)
    of = {name: [point for point in found if point.figure == name] for name in names}
    return {name: sum(p.value for p in mine) / sum(p.weight for p in mine) for name, mine in of.items()}


def test_a_win_is_one_in_both_orders_and_a_tie_is_half():
    made = [pair(0, 1, 0, "long", "b"), pair(1, 0, 1, "a", "long"), pair(2, 1, 0), pair(3, 0.5, 0.5), pair(4, 1, 1)]
    made += [pair(5, 1, None)]
    found = values([point for row in made for point in wins.points_of(row)])
    assert found == {
        "win_rate": pytest.approx((1 + 0 + 1 + 0.5 + 0.5) / 5),
        "inconsistent": 1 / 5,
        "first_place": (1 + 1 + 1 + 2 + 1) / (2 + 2 + 2 + 2 + 1),
        "longer": 1,  # of the two pairs with a winner and two lengths
        "unjudged": pytest.approx(1 / 6),
    }
    assert list(wins.warnings(made)) == ["1 of 6 prompts have no verdict in both orders, and count in no other figure"]


def test_a_judge_that_always_says_tie_is_told_of():
    made = [pair(number, 0.5, 0.5) for number in range(4)]
    assert list(wins.warnings(made)) == ["the judge calls all 4 pairs a tie; win_rate says nothing of the models"]


VERDICTS = st.sampled_from([None, 0.0, 0.5, 1.0])


@given(st.lists(st.tuples(VERDICTS, VERDICTS), min_size=1, max_size=12))
def test_who_is_compared_with_whom_makes_no_difference(found):
    """Turned about, the wins are the losses, and the judge is the same."""
    ours, theirs = (
        values([point for i, both in enumerate(found) for point in wins.points_of(pair(i, *turned(both)))])
        for turned in (tuple, lambda both: both[::-1])
    )
    assert ours.keys() == theirs.keys()
    if "win_rate" in ours:
        assert ours.pop("win_rate") == pytest.approx(1 - theirs.pop("win_rate"))
    assert ours == pytest.approx(theirs)


def rated(number: int, *scores: float | None) -> list[dict]:
    return [{"prompt_id": number, "turn": turn, "score": score} for turn, score in enumerate(scores, 1)]


def test_the_mean_rating_is_of_all_answers_and_its_interval_of_prompts():
    made = [row for i in range(20) for row in rated(i, 4 + i % 3, None if i == 0 else 8)]
    found = points.figures(points.table([point for row in made for point in ratings.points(row)]))
    firsts = [4 + i % 3 for i in range(20)]
    assert found["rating"]["value"] == pytest.approx((sum(firsts) + 19 * 8) / 39)
    assert found["rating_turn_1"]["value"] == pytest.approx(sum(firsts) / 20)
    assert found["rating_turn_2"] == {"value": 8}
    assert found["unrated"]["value"] == 1 / 40
    assert found["rating"]["low"] < found["rating"]["value"] < found["rating"]["high"]
    assert list(ratings.warnings(made)) == []


# What cannot be judged


def duel(project: Project, work: Path, replies: list[str]) -> Job:
    """An evaluation to whose judge these replies were heard before it was killed."""
    inputs = {role: project.path(path) for role, path in project.targets()[DUEL]["inputs"].items()}
    job = Job(
        DUEL,
        project.targets()[DUEL]["own"],
        inputs,
        {},
        project.targets()[DUEL]["texts"],
        {"processes": 1, "gpus": 0},
        work,
    )
    job.out.mkdir(parents=True)
    made = [{"prompt_id": i, "completion": reply} for i, reply in enumerate(replies)]
    write_json(job.kept / "replies/0.json", {"made": made})
    return job


def test_a_judge_that_knows_better_is_followed_and_not_warned_of(once, tmp_path):
    measured = wins.evaluate(duel(once, tmp_path, ["Verdict: [[A]]", "Verdict: [[B]]"] * 6))
    assert values(measured.points)["win_rate"] == 1 and measured.warnings == []
    ledger = json.loads((tmp_path / "files/ledger.json").read_text())["entries"]
    assert [(entry["of"], entry["read"]) for entry in ledger] == [("replies", 12)]


def test_verdicts_in_one_order_alone_are_none(once, tmp_path):
    with pytest.raises(Refusal, match="no pair of answers has a verdict of the judge in both orders"):
        wins.evaluate(duel(once, tmp_path / "one", ["Verdict: [[A]]", "well"] * 6))
    with pytest.raises(Refusal, match=r"no reply of the judge has a verdict \(12 dropped: .*\); one says: 'well'"):
        wins.evaluate(duel(once, tmp_path / "none", ["well"] * 12))
