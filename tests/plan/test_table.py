"""`posttrain plan` and `posttrain explain`: what is said of jobs, and why."""

import argparse
import json
import shutil

import pytest
from test_cost import jobs, line_of, said, shipped  # noqa: F401  a fixture

from conftest import DPO, SFT
from posttrain import cli
from posttrain.files import Refusal
from posttrain.plan import cost, frozen

SCAN = "models:\n  many: {extends: zephyr-7b-dpo, scan: {seed: [%s], beta: [0.1, 0.2]}}\n"


@pytest.fixture(autouse=True)
def room(monkeypatch):
    monkeypatch.setattr(cost, "free", lambda place: 1e15)


def explained(*asked: str) -> None:
    cli.show_reasons(argparse.Namespace(target=list(asked)))


def test_the_models_of_a_scan_that_cost_the_same_are_one_line(shipped, capsys):  # noqa: F811
    shipped.path("config/recipes/scan.yaml").write_text(SCAN % ", ".join(map(str, range(500))))
    said("models/many", gpu="h100")
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if line.startswith("models/many@"))
    assert line.split()[:3] == ["models/many@…", "×", "1000"]
    assert len(text.splitlines()) < 25
    assert max(map(len, text.splitlines())) <= 120
    assert "GPU-hours: 24056 are asked for" in text  # 1000 times 8 GPUs of 3 hours, the reference's and the SFT's


def test_a_gpu_is_said_to_be_too_small_and_a_limit_too_short(shipped, capsys):  # noqa: F811
    shipped.edit("hours: 3,", "hours: 0.5,", "config/recipes/zephyr-7b.yaml")
    said("models/zephyr-7b-dpo", gpu="a100-40gb")
    text = capsys.readouterr().out
    assert "58.4 GB: too much" in line_of(text, "models/zephyr-7b-sft")
    assert "models/zephyr-7b-sft: too much for a100-40gb; a lower micro_batch_size" in text
    said_of_hours = "models/zephyr-7b-dpo: runtime.hours 0.5 is asked for, and up to 2.7 are expected on a100-40gb"
    assert said_of_hours in text


def test_what_begins_with_a_foreign_adapter_is_refused_before_it_is_fetched(shipped):  # noqa: F811
    shipped.edit(
        "base: zephyr-7b-sft\n", "base: alignment-handbook/zephyr-7b-sft-lora\n", "config/recipes/zephyr-7b.yaml"
    )
    with pytest.raises(
        Refusal, match="hub/models--alignment-handbook--zephyr-7b-sft-lora: .* is an adapter alone, and a"
    ):
        said("models/zephyr-7b-dpo")


def test_the_site_names_a_gpu(shipped, capsys):  # noqa: F811
    said("models/zephyr-7b-dpo")
    assert "48.4 GB: 80 GB" in line_of(capsys.readouterr().out, "models/zephyr-7b-dpo")
    shipped.path("config/site.yaml").write_text("gpu: h200\n")
    said("models/zephyr-7b-dpo")
    assert "48.4 GB: fits" in line_of(capsys.readouterr().out, "models/zephyr-7b-dpo")
    shipped.path("config/site.yaml").write_text("gpu: h20\n")
    with pytest.raises(Refusal, match="config/site.yaml:1: gpu: no h20 is known. Did you mean h200?"):
        frozen.freeze_here()


def test_what_nobody_said_is_what_is_expected_with_some_to_spare(shipped):  # noqa: F811
    page = "config/recipes/zephyr-7b.yaml"
    asked = jobs("models/zephyr-7b-sft")["models/zephyr-7b-sft"].target["runtime"]
    assert (asked["hours"], asked["mem_gb"]) == (4, 500)
    shipped.edit("hours: 4, mem_gb: 500, ", "", page)
    runtime = jobs("models/zephyr-7b-sft")["models/zephyr-7b-sft"].target["runtime"]
    assert (runtime["hours"], runtime["mem_gb"]) == (19, 92)  # 2 × 9.3 on A100s; 1.5 × 8 processes of 4 GB, and 29
    shipped.path("config/site.yaml").write_text("gpu: h100\nruntime: {'zephyr-*': {mem_gb: 100}}\n")
    runtime = jobs("models/zephyr-7b-sft")["models/zephyr-7b-sft"].target["runtime"]
    assert (runtime["hours"], runtime["mem_gb"]) == (6, 100)


def test_what_nobody_said_is_no_part_of_what_a_model_is(shipped):  # noqa: F811
    before = jobs("models/zephyr-7b-sft")["models/zephyr-7b-sft"].target["intent"]
    shipped.edit("hours: 4, mem_gb: 500, ", "", "config/recipes/zephyr-7b.yaml")
    assert jobs("models/zephyr-7b-sft")["models/zephyr-7b-sft"].target["intent"] == before


def test_each_kind_of_reason_is_explained(built, monkeypatch, capsys):
    monkeypatch.chdir(built.root)
    explained(DPO)
    assert {line.partition(": ")[2] for line in capsys.readouterr().out.splitlines()} == {"stands: nothing to do"}
    built.edit("num_train_epochs: 1,", "num_train_epochs: 2,")
    built.edit("beta: 0.1,", "beta: 0.2,")
    explained(DPO)
    lines = capsys.readouterr().out.splitlines()
    assert f"{SFT}: train.num_train_epochs 1 → 2" in lines
    assert f"{DPO}: train.beta 0.1 → 0.2" in lines
    assert f"{DPO}: its base {SFT} is made anew" in lines
    assert "models/micro-init: stands: nothing to do" in lines
    rows = built.path("rows.jsonl").read_text().splitlines()
    built.path("rows.jsonl").write_text("\n".join(rows[1:]) + "\n")
    explained("data/micro-rows")
    assert capsys.readouterr().out == "data/micro-rows: rows.jsonl has other content\n"


def test_what_the_store_has_is_restored_and_what_it_is_made_of_is_not_wanted(built, monkeypatch, capsys):
    monkeypatch.chdir(built.root)
    shutil.rmtree("models")
    explained(DPO)
    lines = capsys.readouterr().out.splitlines()
    assert f"{DPO}: in the store: restored" in lines
    assert f"{SFT}: not wanted: what is made of it is there" in lines
    said(DPO)
    assert line_of(capsys.readouterr().out, DPO).split(maxsplit=1)[1] == "in the store: restored"


def test_tokens_that_were_counted_are_not_guessed(built, monkeypatch):
    monkeypatch.chdir(built.root)
    built.edit("seed: 1}", "seed: 2}")
    work = jobs(SFT)[SFT].work
    tokens = built.targets()[SFT]["inputs"]["tokens"]
    metrics = json.loads(built.path(f"{tokens}.run.json").read_text())["metrics"]
    assert work.counted
    model = jobs(SFT)[SFT].architecture
    attention = 2 * model.layers * model.heads * model.head_dim * 48
    assert work.flops == metrics["tokens"] * 3 * (2 * model.used + attention)
