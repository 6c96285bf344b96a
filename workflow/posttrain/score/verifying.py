"""Scores by a verifier: a function that is known, or one of a person's own."""

import inspect
import json
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from types import ModuleType

from posttrain.build import processes
from posttrain.build.job import Job
from posttrain.build.pool import each_once
from posttrain.files import Refusal
from posttrain.score import verifiers
from posttrain.score.limits import Ended, Failure, Limited

BLOCK = 256  # completions
TOLD = ("verifier", "args", "time_limit")
# By `on_error` the failures that cost a completion its score, and no more. An evaluation says none: a model that is
# measured may write what no verifier gets to the end of.
BORNE: dict[str | None, tuple] = {"refuse": (), "drop": (Failure,), None: (Ended,)}
TIME_LIMIT = 10  # seconds, where none is part of what a target is: evaluations were there before it


def verified(job: Job, completions: list[dict]) -> list[dict]:
    """What the job's verifier gives each completion, over the job's processes: a `score`, or None and `why`."""
    name = job.recipe["verifier"]
    if isinstance(name, str) and name in verifiers.PACKAGES:
        package, extra = verifiers.PACKAGES[name]
        processes.needs(package, f"verifier: {name}", f"-e '.[{extra}]'")
    told = {"time_limit": TIME_LIMIT, "file": ""} | {key: job.recipe[key] for key in TOLD if key in job.recipe}
    if "verifier" in job.texts:
        told |= {"text": job.texts["verifier"], "file": job.identity["file"]}
    work = partial(verify, told=json.dumps(told), on_error=job.recipe.get("on_error"))
    kept = [{key: row[key] for key in ("prompt_id", "sample", *verifiers.GIVEN)} for row in completions]
    blocks = [kept[start : start + BLOCK] for start in range(0, len(kept), BLOCK)]
    return [given for block in each_once(job, "verified", work, blocks) for given in block]


def verify(block: list[dict], told: str, on_error: str | None) -> list[dict]:
    check, made = opened(told), []
    for row in block:
        try:
            made.append({"score": check(**{key: row[key] for key in verifiers.GIVEN}), "why": None})
        except Failure as failure:
            if not isinstance(failure, BORNE[on_error]):
                mend = "; mend it, or say `on_error: drop` to leave such completions unscored" if on_error else ""
                number = f"prompt {row['prompt_id']}, sample {row['sample']}"
                raise Refusal(f"{number}: the verifier fails: {failure}{mend}") from None
            made.append({"score": None, "why": f"the verifier fails: {failure.kind}"})
    return made


@cache
def opened(told: str) -> Limited:
    """One a process. The package of a known verifier is imported here: what is forked has it, at the first call and
    after each that was ended, in no call's time.
    """
    said = json.loads(told)
    if not said["file"] and said["verifier"] in verifiers.PACKAGES:
        import_module(said["verifier"])
    return Limited(partial(verifier, said), said["time_limit"], said["file"])


def verifier(said: dict) -> Callable[..., float]:
    """The function that a recipe names, to be called by name with all that is given of a completion."""
    call = own_function(said) if said["file"] else verifiers.KNOWN[said["verifier"]]
    takes, needed = inspect.signature(call).parameters, verifiers.needs_reference(call)

    def verify(**given: object) -> float:
        if needed and given["reference"] is None:
            raise ValueError("its prompt has no answer in its data set that a verifier could compare with")
        return call(**{name: value for name, value in given.items() if name in takes}, **said["args"])

    return verify


def own_function(said: dict) -> Callable[..., float]:
    """A function of the text that was frozen with the plan, whose lines are named as the file's."""
    module = sys.modules["verifier"] = ModuleType("verifier")  # where dataclasses, say, look for what is defined in it
    exec(compile(said["text"], said["file"], "exec"), module.__dict__)  # noqa: S102 (a person's own)
    return getattr(module, said["verifier"]["function"])
