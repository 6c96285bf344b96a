"""Groups: which light targets one SLURM job makes together."""

from collections import Counter
from graphlib import TopologicalSorter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_plan import plan_of

from conftest import PAGE, Project, shipped_checkout
from posttrain.plan import cost, groups
from posttrain.plan.groups import Groups

STAGES = ("mix_data", "make_tokenizer", "score_completions", "train_sft", "sample_shard", "fetch_snapshot")
HERE = ("fetch_snapshot", "fetch_wheel", "restore")  # made where Snakemake runs


def made_of(target: dict) -> list[str]:
    """What the rule of a target has as inputs."""
    if target["rule"] == "restore":
        return [target["twin"]] if target["twin"] else []
    return list(target["inputs"].values())


@st.composite
def plans(draw) -> dict[str, dict]:
    """Targets, none made of a later one: light, heavy and fetched; some are restored from the store, or from a twin."""
    targets: dict[str, dict] = {}
    for number in range(draw(st.integers(2, 20))):
        before, stage = list(targets), draw(st.sampled_from(STAGES))
        some = st.lists(st.sampled_from(before), max_size=4) if before and stage != "fetch_snapshot" else st.just([])
        inputs = {f"{i}": path for i, path in enumerate(draw(some))}
        rule = draw(st.sampled_from([stage, stage, "restore"]))
        twin = draw(st.sampled_from([None, *before])) if rule == "restore" else None
        targets[f"t/{number}"] = {"stage": stage, "rule": rule, "twin": twin, "inputs": inputs, "runtime": {}}
    return targets


@given(plans(), st.integers(0, 5))
def test_no_group_waits_for_itself(targets: dict[str, dict], crowd: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "CROWD", crowd)
        group = {path: Groups(targets).of(path) or path for path in targets}
    waits: dict[str, set[str]] = {}
    for path, target in targets.items():
        waits.setdefault(group[path], set()).update({group[made] for made in made_of(target)} - {group[path]})
    TopologicalSorter(waits).prepare()  # raises CycleError


def jobs_of(targets: dict[str, dict], *asked: str) -> list[list[str]]:
    """The targets of each job that what is asked puts into the queue: what is of a group and hangs together is one."""
    made = [path for path in cost.to_make(targets, list(asked)) if targets[path]["rule"] not in HERE]
    group, jobs = Groups(targets), {path: [path] for path in made}
    for path in made:
        for other in {*made_of(targets[path])} & {*made}:
            if group.of(path) and group.of(path) == group.of(other) and jobs[path] is not jobs[other]:
                jobs[other] += jobs[path]
                jobs |= dict.fromkeys(jobs[path], jobs[other])
    return list({id(job): job for job in jobs.values()}.values())


@pytest.fixture(scope="module")
def shipped(tmp_path_factory) -> dict[str, dict]:
    return plan_of(shipped_checkout(tmp_path_factory.mktemp("groups") / "p"))


@pytest.mark.parametrize(
    ("asked", "stages", "jobs"),
    [
        ("models/zephyr-7b-dpo", 9, 4),  # rows and tokens; SFT; reference log-probs; DPO
        ("models/zephyr-7b-rs-dpo", 38, 30),  # 20 of them shards, which go as arrays
        ("models/quickstart-dpo", 25, 14),
    ],
)
def test_a_chain_of_few_trainings_queues_few_times(
    shipped: dict[str, dict], asked: str, stages: int, jobs: int
) -> None:
    made = jobs_of(shipped, asked)
    assert (sum(map(len, made)), len(made)) == (stages, jobs)
    assert all(len(job) == 1 or all(shipped[path]["rule"] in groups.LIGHT for path in job) for job in made)


def test_what_asks_a_model_has_a_job_to_itself(shipped: dict[str, dict]) -> None:
    group = Groups(shipped)
    alone = {path for path, target in shipped.items() if target["rule"] in groups.LIGHT and not group.of(path)}
    assert alone == {path for path, target in shipped.items() if "reward_model" in target["inputs"]} != set()


def test_a_scan_of_a_thousand_lengths_is_no_job_of_a_thousand_tokenisations(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths = ", ".join(map(str, range(100, 1100)))
    fresh.path(PAGE).open("a").write(f"  many:\n    extends: micro-sft\n    scan: {{max_length: [{lengths}]}}\n")
    monkeypatch.chdir(fresh.root)
    targets = plan_of(fresh)
    made = jobs_of(targets, *(path for path in targets if path.startswith("models/many@")))
    assert Counter(map(len, made)) == {1: 2003}, "trainings, tokens, and the rows, the tokenizer and the base of all"


def test_a_few_tokenisations_are_one_job(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh.path(PAGE).open("a").write("  many:\n    extends: micro-sft\n    scan: {max_length: [100, 101, 102]}\n")
    monkeypatch.chdir(fresh.root)
    targets = plan_of(fresh)
    made = jobs_of(targets, *(path for path in targets if path.startswith("models/many@")))
    assert Counter(map(len, made)) == {1: 3, 6: 1}
