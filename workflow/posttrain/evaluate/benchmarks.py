"""Figures by lm-eval's tasks."""

import os
import random
from collections.abc import Iterator
from functools import partial
from importlib import import_module
from importlib.metadata import version
from math import isclose
from numbers import Real
from types import ModuleType
from typing import Any

import numpy as np

from posttrain.build import processes, sandbox
from posttrain.build.job import Job
from posttrain.build.pool import each_once
from posttrain.evaluate import shards
from posttrain.evaluate.points import Measured, Point, ratio, table
from posttrain.files import Refusal, write_json
from posttrain.recipes.benchmarks import NLTK_FOLDER, runs_code
from posttrain.sample.blocks import share

LOTS = 8  # documents of a rehearsal


def evaluate(job: Job) -> Measured:
    """Every document, and the figures of each task and group as lm-eval has them: `task/metric`, or with its filter."""
    if "by_lot" in job.recipe:
        return by_lot(job.recipe["tasks"])
    harness = opened(job)
    tasks, model = harness.loaded(job), harness.Told(job.inputs["model"], job.recipe)
    parts = shards.read(job) or [answered(job, harness.blocks(job, tasks, model), 0, 1)]
    model.answers = {key: said for part in parts for key, said in part.items()}
    seed_as_lm_eval()
    found = harness.evaluated(job, tasks, model)
    write_json(job.out / "tasks.json", about(found))
    samples = found["samples"]
    leaves = {name: [name] for name in tasks["tasks"]}
    leaves |= {name: [task.task_name for task in group.get_all_tasks()] for name, group in tasks["groups"].items()}
    points, warnings = points_of(found["results"], samples, leaves)
    counts = {"documents": sum(len({row["doc_id"] for row in rows}) for rows in samples.values())}
    if model.cut:
        counts["cut"] = len(model.cut)
        warnings.append(
            f"{counts['cut']} of {counts['documents']} documents are longer than the model reads, and were cut in front"
        )
    rows = [row for name in samples for row in rows_of(name, samples[name])]
    return Measured(rows, points, counts, sorted(model.warnings) + warnings)


def answer_shard(job: Job) -> None:
    """A shard's answers, for the evaluation to gather."""
    harness = opened(job)
    tasks, model = harness.loaded(job), harness.Told(job.inputs["model"], job.recipe)
    shards.write(job, answered(job, harness.blocks(job, tasks, model), job.recipe["shard"], job.recipe["shards"]))


def opened(job: Job) -> ModuleType:
    """lm-eval, which a rehearsal does without, and what some tasks want of a machine before anything is asked."""
    processes.needs("lm-eval", "tasks", "lm-eval")
    if runs_code(job.recipe):
        sandbox.check()
    if "nltk" in job.inputs:
        os.environ["NLTK_DATA"] = str(job.inputs["nltk"] / NLTK_FOLDER)  # NLTK reads it when it is imported
    return import_module("posttrain.evaluate.harness")


def answered(job: Job, blocks: list, shard: int, of: int) -> dict[str, Any]:
    """A shard's answers to blocks of requests, by what was asked. What was answered before a kill is kept."""
    from posttrain.evaluate import harness

    device = "cuda" if job.runtime["gpus"] else "cpu"
    how = {"folder": job.inputs["model"], "device": device, "size": job.recipe["block_size"]}
    mine, engine = share(blocks, shard, of), job.recipe["engine"]
    if mine and engine == "vllm":
        harness.refuse_too_long(mine, **how)
    made = each_once(job, "answers", partial(harness.answer, engine=engine, **how), mine)
    return {key: said for block in made for key, said in block.items()}


def seed_as_lm_eval() -> None:
    """Some tasks draw what they look for, and IFEval guesses at languages by lot."""
    random.seed(0)
    np.random.seed(1234)
    try:
        from langdetect import DetectorFactory
    except ImportError:
        return
    DetectorFactory.seed = 0


def about(found: dict) -> dict:
    """What was measured: whose tasks, which versions of them, and how each was asked."""
    said = {
        name: {"version": found["versions"][name], "num_fewshot": found["n-shot"].get(name)}
        for name in found["results"]
    }
    return {"lm_eval": version("lm-eval"), "tasks": said}


def figures(results: dict[str, dict]) -> Iterator[tuple[str, str, float, str, str]]:
    """Of each of lm-eval's figures its task or group, its name here, its value, and its metric and filter."""
    for name, said in results.items():
        for key, value in said.items():
            metric, comma, kept_by = key.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            if not isinstance(value, Real):
                raise Refusal(f"{name}: lm-eval's {key} is {value!r}, and no number")
            yield name, "/".join([name, metric] + [kept_by] * (kept_by != "none")), float(value), metric, kept_by


def points_of(
    results: dict[str, dict], samples: dict[str, list[dict]], leaves: dict[str, list[str]]
) -> tuple[list[Point], list[str]]:
    """What each figure is the mean of, and what is to be said of those that are none.

    Args:
        leaves: of each task or group the tasks that it is made of.
    """
    points, warnings = [], []
    for name, figure, value, metric, kept_by in figures(results):
        means = (
            list(of_documents(samples, leaves[name], figure, metric, kept_by, by_size)) for by_size in (True, False)
        )
        said = next(
            (made for made in means if made and isclose(ratio(table(made)), value, rel_tol=1e-9, abs_tol=1e-12)), None
        )
        if not said:
            warnings.append(f"{figure} is no mean of documents: it is lm-eval's, and has no interval")
        points += said or [Point(figure, name, value)]
    return points, warnings


def of_documents(
    samples: dict[str, list[dict]], tasks: list[str], figure: str, metric: str, kept_by: str, by_size: bool
) -> Iterator[Point]:
    """What each document says of a figure; of a group that counts each task once, by its share of the task."""
    for task in tasks:
        rows = [row for row in samples[task] if row["filter"] == kept_by and metric in row]
        for row in rows:
            if not (parts := numbers(row[metric])):
                return
            of = 1 if by_size else len(rows)
            yield Point(figure, f"{task}/{row['doc_id']}", sum(parts) / of, len(parts) / of)


def rows_of(task: str, rows: list[dict]) -> Iterator[dict]:
    """Every document with what was asked first, what was answered, and its scores; of each filter a row."""
    for row in rows:
        said = {"task": task, "document": row["doc_id"], "filter": row["filter"], "prompt": row["arguments"][0][0]}
        said |= {"target": str(row["target"]), "answers": [str(answer) for said in row["resps"] for answer in said]}
        said["kept"] = [str(answer) for answer in row["filtered_resps"]]
        scores = {metric: numbers(row[metric]) for metric in row["metrics"]}
        yield said | {metric: sum(parts) / len(parts) for metric, parts in scores.items() if parts}


def numbers(score: Any) -> list[float]:
    """What a document says of a metric: a number, or several, as IFEval has one of each instruction; none of what is
    aggregated otherwise.
    """
    parts = score if isinstance(score, list) else [score]
    return [float(part) for part in parts] if all(isinstance(part, Real | np.bool_) for part in parts) else []


def by_lot(tasks: dict) -> Measured:
    """In a rehearsal."""
    points = [Point(f"{name}/by_lot", f"{name}/{i}", i % 2) for name in tasks for i in range(LOTS)]
    samples = [{"document": point.unit, "score": point.value} for point in points]
    return Measured(samples, points, {"documents": len(points)})
