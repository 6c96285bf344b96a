"""What a model answered to each of the jobs that share an evaluation."""

from typing import Any

from posttrain.build.job import Job
from posttrain.files import Refusal, read_json, write_json

NAME = "answers.json"


def write(job: Job, answers: list | dict) -> None:
    write_json(job.out / NAME, {"answers": answers})


def read(job: Job) -> list[Any]:
    """The answers of each shard; none of an evaluation that one job makes."""
    found = [(folder, read_json(folder / NAME)) for folder in job.shards]
    for folder, said in found:
        if not said:
            raise Refusal(f"{folder}: has no {NAME}; delete the folder and run again")
    return [said["answers"] for _, said in found]
