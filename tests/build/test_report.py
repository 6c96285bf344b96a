"""A model's page: what it shows is what stands, in one file that needs no other."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import DPO, SFT, Project
from posttrain.data import rows
from posttrain.files import write_json
from posttrain.plan import lineage
from posttrain.report import answers, card, draw, page

REPORT = "reports/micro-dpo.html"
SUITE = """\
evals:
  spelling:
    models: [micro-sft, micro-dpo]
    prompts: micro-rows
    split: train
    verifier: exact_match
    sampling: {n: 2, max_new_tokens: 8, block_size: 64}
"""
VOID = {"meta", "br", "line", "circle", "path", "polyline", "rect"}
FETCHES = {"src", "href", "srcset", "action", "xlink:href", "data", "poster"}


class Reader(HTMLParser):
    """The text of a page, its tags and attributes; fails where a tag is left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: dict[str, set] = {}
        self.said: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            self.attributes.setdefault(name, set()).add(value)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.said).split())


@pytest.fixture(scope="module")
def once(micro_built: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A checkout in which a page was made."""
    project = micro_built.copy(tmp_path_factory.mktemp("report") / "p")
    project.add(SUITE)
    project.make(REPORT)
    return project


@pytest.fixture
def reported(once: Project, tmp_path: Path) -> Project:
    return once.copy(tmp_path / "p")


def test_a_page_needs_no_other_file(once):
    text = once.path(REPORT).read_text()
    read = Reader(text)
    assert not read.tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert not FETCHES & read.attributes.keys()
    assert "url(" not in text and "@import" not in text and "http" not in text


def test_what_a_page_says_is_what_stands(once):
    said = Reader(once.path(REPORT).read_text()).text
    for target in (SFT, DPO, "data/micro-rows", "preferences/micro-pairs", "evals/micro-dpo/spelling"):
        manifest, run = once.manifest(target), once.manifest(f"{target}.run")
        assert manifest["key"] in said and manifest["content"] in said and target in said
        assert run["finished"].replace("T", " ").strip("Z") in said
        assert all(digest in said for digest in manifest["files"].values())
        assert run["seconds"] > 0
    for model in ("micro-sft", "micro-dpo"):
        history = once.manifest(f"models/{model}.run")["metrics"]["history"]
        losses = [row["loss"] for row in history if "loss" in row]
        assert f"{losses[0]:.3g} → {losses[-1]:.3g}" in said
        figures = json.loads(once.path(f"evals/{model}/spelling/figures.json").read_text())["figures"]
        assert f"{model} {100 * figures['accuracy']['value']:.1f} %" in said


def test_answers_stand_side_by_side_and_are_not_picked(once):
    evals = {
        model: str(once.path(f"evals/{name}/spelling")) for model, name in (("a", "micro-sft"), ("b", "micro-dpo"))
    }
    said = answers.answers(evals)
    read = {
        model: pd.read_parquet(once.path(f"evals/{name}/spelling/samples.parquet")).query("how == 'greedy'")
        for model, name in (("a", "micro-sft"), ("b", "micro-dpo"))
    }
    assert len(said) == answers.SHOWN < len(read["a"])
    spaced = [i * len(read["a"]) // answers.SHOWN for i in range(answers.SHOWN)]
    for row, number in zip(said, spaced, strict=True):
        for answer in row["answers"]:
            sample = read[answer["model"]].iloc[number]
            assert (row["prompt"], row["reference"]) == (sample.prompt[-1]["content"], sample.reference)
            assert (answer["text"], answer["right"]) == (sample.completion, sample.score >= 1)


def test_what_a_model_says_is_never_markup(reported, monkeypatch):
    """Nor what a prompt, a right answer and a ledger's example say."""
    said = "</span><script>alert({})</script>"
    example = {"prompt": said.format(3), "completions": [said.format(4)]}
    entry = {"of": "rows", "read": 2, "kept": 1, "altered": {}, "dropped": {said.format(5): {"count": 1}}}
    entry["dropped"][said.format(5)]["examples"] = [example]
    for name in ("micro-sft", "micro-dpo"):
        samples = reported.path(f"evals/{name}/spelling/samples.parquet")
        frame = pd.read_parquet(samples)
        frame["completion"], frame["reference"] = said.format(0), said.format(1)
        frame["prompt"] = [[{"role": "user", "content": said.format(2)}]] * len(frame)
        replace(samples, frame.to_parquet)
    replace(reported.path("data/micro-rows/ledger.json"), lambda path: write_json(path, {"entries": [entry]}))
    monkeypatch.chdir(reported.root)
    read = Reader(page.render(reported.targets(), DPO))
    assert "script" not in read.tags
    assert all(f"<script>alert({number})</script>" in read.text for number in range(6))


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file of the store anew."""
    path.parent.chmod(0o755)
    path.unlink()
    write(path)


SAID = {
    "models/chain-dpo": [
        "rows.jsonl, all rows",
        "cpt on chain-words, from chain-init",
        "8 answers each to chain-rows, by chain-sft",
        "chain-tries, by reasoning_gym",
        "best of n of chain-tries",
        "chain-rs-tries, by chain-reward",
        "best vs worst of chain-rs-tries",
        "spelling · right, sampled · chain-rows, test",
        "words · bits per byte (fewer is better) · chain-words, test",
        "judged · prefers the chosen answer · chain-judged, train",
        "all completions score the same",
        "chain-reward · reward",
    ],
    "models/chain-reward": ["reward on chain-judged, from chain-sft", "chain-cpt · cpt", "pairs right"],
    "models/chain-orpo": ["orpo on chain-pairs, from chain-rs", "chain-orpo · orpo", "pairs right"],
}


@pytest.mark.parametrize("model", SAID)
def test_each_kind_of_stage_is_told(chain_built, monkeypatch, model):
    monkeypatch.chdir(chain_built.root)
    read = Reader(page.render(chain_built.targets(), model)).text
    assert [line for line in SAID[model] if line not in read] == []


def test_what_own_answers_were_worth_is_told_round_by_round(chain_built, monkeypatch):
    monkeypatch.chdir(chain_built.root)
    told = page.shown(chain_built.targets(), "models/chain-dpo")["rounds"]
    assert [(row["name"], row["model"], row["n"]) for row in told] == [
        ("chain-tries", "chain-sft", 8),
        ("chain-rs-tries", "chain-rs", 8),
    ]
    scores = rows.read(Path("scores/chain-tries/scores.parquet"))
    best: dict[int, float] = {}
    for row in scores:
        best[row["prompt_id"]] = max(row["score"], best.get(row["prompt_id"], row["score"]))
    assert told[0]["prompts"] == len(best)
    assert told[0]["mean"] == draw.short(sum(row["score"] for row in scores) / len(scores))
    assert told[0]["best"] == draw.short(sum(best.values()) / len(best))


def test_a_suite_of_unlike_figures_keeps_its_columns(reported, monkeypatch):
    """As when an evaluation was made by older code."""
    path = reported.path("evals/micro-sft/spelling/figures.json")
    said = json.loads(path.read_text())
    older = said | {"counts": {"left_out": 7777, "prompts": 5}}
    replace(path, lambda path: write_json(path, older))
    monkeypatch.chdir(reported.root)
    text = page.render(reported.targets(), DPO)
    rows = re.findall(r"<tr>(.*?)</tr>", text[text.index("All figures of spelling") :], re.DOTALL)[:3]
    head, sft, dpo = (re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows)
    assert [dict(zip(head, cells, strict=True))["left_out"] for cells in (sft, dpo)] == ["7777", "0"]


def test_a_page_is_made_again_when_what_it_shows_changes_and_only_then(reported):
    assert "Nothing to be done" in reported.make(REPORT)[0]
    reported.edit("# Micro", "# A comment. Micro")
    assert "Nothing to be done" in reported.make("-n", REPORT)[0]
    reported.path(REPORT).unlink()
    before = len(reported.started())
    reported.make(REPORT)
    assert reported.started()[before:] == []
    assert reported.path(REPORT).exists()
    reported.edit("beta: 0.1,", "beta: 0.2,")
    assert {"rule train_dpo:", "rule evaluate_model:", "rule make_report:"} <= set(
        reported.make("-n", REPORT)[0].splitlines()
    )
    reported.edit("beta: 0.2,", "beta: 0.1,")
    reported.edit("models: [micro-sft, micro-dpo]", "models: [micro-dpo]")
    output = reported.make("-n", REPORT)[0]
    assert "make_report" in output, "a figure less is another page"
    assert "evaluate_model" not in output


def test_a_page_of_no_model_is_answered_with_the_nearest(reported):
    assert f"Nearest: {REPORT}" in reported.refused("-n", "reports/micro-dpp.html")


def test_how_to_build_it_again_makes_the_environments_of_all_that_it_is_made_from(chain_built, monkeypatch):
    monkeypatch.chdir(chain_built.root)
    targets = chain_built.targets()
    asked = page.shown(targets, "models/chain-dpo")["again"]
    assert asked[-3:] == ["make .venv/ready", "snakemake models/chain-dpo", "posttrain verify models/chain-dpo"]
    targets["completions/chain-tries"]["environment"] = "sample-cpu"
    asked = page.shown(targets, "models/chain-dpo")["again"]
    assert asked[-3:-2] == ["make vllm"]
    assert card.shown({"targets": targets, "published": {}}, "chain-dpo")["commands"].splitlines() == asked
    assert "make vllm" not in page.shown(targets, "models/chain-sft")["again"]


def test_every_model_of_the_lineage_is_drawn_and_each_arc_leads_downward(once, monkeypatch):
    monkeypatch.chdir(once.root)
    drawn = page.shown(once.targets(), DPO)["lineage"]
    names = [row["name"] for row in drawn["rows"]]
    assert sorted(names) == ["micro-dpo", "micro-init", "micro-pairs", "micro-rows", "micro-sft"]
    arcs = {(names[i], row["name"]) for row in drawn["rows"] for i in row["inputs"]}
    assert arcs == {
        ("micro-init", "micro-sft"),
        ("micro-rows", "micro-sft"),
        ("micro-sft", "micro-dpo"),
        ("micro-pairs", "micro-dpo"),
    }
    assert all(i < number for number, row in enumerate(drawn["rows"]) for i in row["inputs"])


def test_rows_are_as_many_tokens_as_the_model_of_the_page_reads_of_them(reported, monkeypatch):
    monkeypatch.chdir(reported.root)
    targets = reported.targets()
    read = next(target for target in targets.values() if target["inputs"].get("rows") == "data/micro-rows")
    Path("tokens/longer.run.json").write_text(json.dumps({"metrics": {"tokens": 10**9}}))

    def sizes(told: dict) -> list[str]:
        return [row["size"] for row in page.shown(told, DPO)["lineage"]["rows"]]

    assert sizes(targets | {"tokens/longer": read}) == sizes(targets)


@given(st.dictionaries(st.integers(0, 10_000), st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_a_curve_stays_in_its_frame_and_keeps_its_order(values):
    points = sorted(values.items())
    line = [tuple(map(float, point.split(","))) for point in draw.curve("loss", points)["lines"][0]["line"].split()]
    assert (line[0][0], line[-1][0]) == (0, draw.WIDTH)
    assert all(0 <= x <= draw.WIDTH and 0 <= y <= draw.HEIGHT for x, y in line)
    for (_, a), (_, b), (_, ya), (_, yb) in zip(points, points[1:], line, line[1:], strict=False):
        assert (b - a) * (ya - yb) >= 0, "higher values are drawn higher"


def test_what_is_held_out_is_drawn_beside_what_is_learnt_from(reported, monkeypatch):
    """On the same scale, and told apart in words."""
    run = reported.manifest(f"{SFT}.run")
    losses = [(row["step"], row["loss"]) for row in run["metrics"]["history"] if "loss" in row]
    run["metrics"]["history"] += [{"step": 2, "eval_loss": 9.25}, {"step": 4, "eval_loss": 8.5}]
    reported.path(f"{SFT}.run.json").write_text(json.dumps(run))
    monkeypatch.chdir(reported.root)
    text = page.render(reported.targets(), DPO)
    said = Reader(text).text
    assert f"in training {losses[0][1]:.3g} → {losses[-1][1]:.3g}" in said
    assert "held out 9.25 → 8.5" in said
    drawn = draw.curve("loss", losses, [(2, 9.25), (4, 8.5)])
    assert drawn["high"] == "9.25" and drawn["lines"][1]["line"] in text
    assert drawn["lines"][1]["line"].startswith(f"{draw.WIDTH / 3:.1f},0.0")
    assert text.count('class="held"') == 2


def test_the_most_memory_of_a_training_is_shown(once):
    said = Reader(once.path(REPORT).read_text()).text
    for target in (SFT, DPO):
        peak = once.manifest(f"{target}.run")["metrics"]["peak_memory_bytes"]
        assert 1e8 < peak < 1e10
        assert draw.size(peak) in said
    assert (draw.size(None), draw.size(123_456_789), draw.size(98_765_000_000)) == ("", "123 MB", "98.8 GB")


def test_shares_are_drawn_to_a_hundred_and_other_figures_to_the_largest():
    shares = draw.bars("right", "accuracy", {"a": {"value": 0.25}, "b": {"value": 0.5, "low": 0.25, "high": 0.75}})
    assert [(bar["value"], bar["width"]) for bar in shares["bars"]] == [("25.0 %", 25), ("50.0 %", 50)]
    assert [bar["interval"] for bar in shares["bars"]] == ["", "25.0 to 75.0"]
    assert (shares["bars"][1]["low"], shares["bars"][1]["reach"]) == (25, 50)
    bits = draw.bars("bits", "bits_per_byte", {"a": {"value": 8}, "b": {"value": 2}})
    assert [(bar["value"], bar["width"]) for bar in bits["bars"]] == [("8.00", 100), ("2.00", 25)]


def test_a_plan_says_what_a_page_shows_inputs_first(once):
    plan = once.targets()
    shown = lineage.reported(plan, DPO)
    assert {"evals/micro-sft/spelling", "evals/micro-dpo/spelling", SFT, DPO} <= set(shown)
    assert all(shown.index(made) < shown.index(path) for path in shown for made in plan[path]["inputs"].values())
    assert set(lineage.reported(plan, SFT)) < set(shown)
