"""What lm-eval measures: tasks of its own, as its version in envs/evaluate.lock has them, and those of config/tasks."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import Field, model_validator

from posttrain.files import Refusal
from posttrain.recipes import faults, page, template
from posttrain.recipes.fields import Count, Entry
from posttrain.recipes.sources import Word
from posttrain.words import dotted


class Benchmark(NamedTuple):
    """A task of lm-eval's own, or a group of them."""

    folder: str  # of its files, below lm_eval/tasks
    version: float
    dataset: str  # a hub id
    nltk: bool = False  # whether it reads NLTK's sentence model
    runs_code: bool = False  # whether what a model writes is run


KNOWN = {
    "arc_challenge": Benchmark("arc", 1, "allenai/ai2_arc"),
    "arc_easy": Benchmark("arc", 1, "allenai/ai2_arc"),
    "bbh": Benchmark("bbh/cot_fewshot", 3, "SaylorTwift/bbh"),
    "gsm8k": Benchmark("gsm8k", 3, "openai/gsm8k"),
    "hellaswag": Benchmark("hellaswag", 1, "Rowan/hellaswag"),
    "humaneval": Benchmark("humaneval", 1, "openai/openai_humaneval", runs_code=True),
    "humaneval_instruct": Benchmark("humaneval", 4, "openai/openai_humaneval", runs_code=True),
    "ifeval": Benchmark("ifeval", 4, "google/IFEval", nltk=True),
    "mmlu": Benchmark("mmlu/default", 2, "cais/mmlu"),
    "truthfulqa_mc2": Benchmark("truthfulqa", 3, "truthfulqa/truthful_qa"),
}
# Where NLTK's sentence model (Apache-2.0) is to be had by a sha256: a wheel, which is unpacked and never installed.
NLTK_WHEEL, NLTK_FOLDER = "llama-index-core==0.14.25", "llama_index/core/_static/nltk_cache"
FORMS = ("json", "csv", "parquet")
# What lm-eval can make of what it asks for: of another metric it makes nothing, or fails when all is answered.
METRICS = {
    "multiple_choice": ("acc", "acc_norm", "exact_match"),
    "generate_until": ("exact_match", "bleu", "chrf"),
    "loglikelihood": ("acc",),
    "loglikelihood_rolling": ("bits_per_byte", "word_perplexity"),
}
MEANS = ("acc", "acc_norm", "exact_match")  # of documents; the others are of all of them at once


class Generation(Entry):
    """How answers are generated: the likeliest ones."""

    max_gen_toks: Count = Field(256, description="tokens after which an answer is cut")
    until: list[Annotated[str, Field(min_length=1)]] = Field(description="texts that end an answer; [] for none")
    do_sample: Literal[False] = False


class Metric(Entry):
    """One of lm-eval's metrics, which are its functions and nobody else's."""

    metric: str
    aggregation: Literal["mean"] | None = None
    higher_is_better: bool | None = None
    ignore_case: bool = False
    ignore_punctuation: bool = False
    regexes_to_ignore: list[str] | None = None


# Of each function the arguments that it needs, and those that it takes besides.
ARGUMENTS = {"regex": (["regex_pattern"], ["group_select", "fallback"]), "map": (["mapping_dict", "default_value"], [])}


class Step(Entry):
    """One of lm-eval's functions of answers, and its arguments."""

    function: Literal["regex", "map", "take_first", "remove_whitespace", "lowercase", "uppercase"]
    regex_pattern: str | None = None
    group_select: Literal[0, -1] | None = Field(None, description="the first or the last match: there may be but one")
    fallback: str | None = None
    mapping_dict: dict[str, str] | None = None
    default_value: str | None = None

    @model_validator(mode="after")
    def takes_its_arguments(self) -> "Step":
        needed, besides = ARGUMENTS.get(self.function, ([], []))
        for name in sorted(self.model_fields_set - {"function", *needed, *besides}):
            raise ValueError(f"{name} is no argument of {self.function}")
        for name in needed:
            if getattr(self, name) is None:
                raise ValueError(f"{name} is missing, which {self.function} needs")
        try:
            re.compile(self.regex_pattern or "")
        except re.error as error:
            raise ValueError(f"regex_pattern is no regular expression: {error}") from None
        return self


class Filter(Entry):
    """What is made of an answer before a metric sees it."""

    name: str = Field(pattern=r"^[\w-]+$")
    filter: list[Step] = Field(min_length=1, description="functions, one after the other")


class Files(Entry):
    """Rows that lie in files."""

    data_files: dict[Word, str] = Field(min_length=1, description="by split its file, a path as of a source of rows")


class Metadata(Entry):
    """What a task is called by beside its name."""

    version: float = Field(description="the task's own, for who compares figures")


class Task(Entry):
    """`config/tasks/<name>.yaml`: a task as lm-eval reads it, less what is code, and less what draws."""

    task: str = Field(description="its name, which is the file's")
    dataset_path: str = Field(description="json, csv or parquet, with `dataset_kwargs`; or a dataset's id on the hub")
    dataset_name: Word | None = Field(None, description="the hub dataset's configuration, if it has several")
    dataset_kwargs: Files | None = None
    output_type: Literal["multiple_choice", "generate_until", "loglikelihood", "loglikelihood_rolling"]
    test_split: Word = Field("test", description="the split that is asked")
    fewshot_split: Word | None = Field(None, description="the split that examples are drawn from")
    num_fewshot: int | None = Field(
        None, ge=0, description="examples before each question; as many as the suite says if unsaid, and none ever of 0"
    )
    doc_to_text: str = Field(description="the question: a column, or Jinja of columns")
    doc_to_target: str | int = Field(description="the answer, or its number among the choices")
    doc_to_choice: str | list[str] | None = None
    description: str = ""
    target_delimiter: str = " "
    fewshot_delimiter: str = "\n\n"
    gen_prefix: str | None = Field(None, description="what an answer begins with")
    generation_kwargs: Generation | None = None
    filter_list: list[Filter] | None = None
    metric_list: list[Metric] = Field(min_length=1)
    metadata: Metadata

    @model_validator(mode="after")
    def holds_together(self) -> "Task":
        if (self.dataset_path in FORMS) != bool(self.dataset_kwargs):
            raise ValueError(f"dataset_kwargs has the `data_files` of dataset_path {', '.join(FORMS)}, and of no other")
        if (self.output_type == "generate_until") != bool(self.generation_kwargs):
            raise ValueError("generation_kwargs are those of output_type generate_until, which ends by them")
        if (self.output_type == "multiple_choice") != (self.doc_to_choice is not None):
            raise ValueError("doc_to_choice has the choices of output_type multiple_choice")
        if isinstance(self.doc_to_choice, list) and any("{{" in choice for choice in self.doc_to_choice):
            raise ValueError("doc_to_choice is a list, which lm-eval takes as it stands; say Jinja of a list")
        if self.filter_list and self.output_type != "generate_until":
            raise ValueError("filter_list is of answers, which output_type generate_until alone has")
        if self.num_fewshot and not self.fewshot_split:
            raise ValueError("fewshot_split is missing: where examples are drawn from")
        return self

    @model_validator(mode="after")
    def splits_are_there(self) -> "Task":
        there = self.dataset_kwargs.data_files if self.dataset_kwargs else {}
        for name in ("test_split", "fewshot_split"):
            split = getattr(self, name)
            if there and split and split not in there:
                raise ValueError(f"{name} {split!r} is none of data_files: {', '.join(there)}")
        return self

    @model_validator(mode="after")
    def can_be_measured(self) -> "Task":
        """What lm-eval would find out when every answer is there, or not at all."""
        metrics, filters = [said.metric for said in self.metric_list], [said.name for said in self.filter_list or []]
        for name in metrics:
            if name not in (known := METRICS[self.output_type]):
                raise ValueError(f"metric_list {name!r} is no metric of {self.output_type}; say {', '.join(known)}")
        if other := [said.metric for said in self.metric_list if said.aggregation and said.metric not in MEANS]:
            raise ValueError(f"metric_list {other[0]} is no mean; leave its aggregation out")
        for key, names in (("metric_list", metrics), ("filter_list", filters)):
            if twice := [name for i, name in enumerate(names) if name in names[:i]]:
                raise ValueError(f"{key} {twice[0]} is named twice")
        return self


def namesake(name: str) -> str | None:
    """The task of lm-eval's own that is called so, or of which a part may be."""
    return next((known for known in KNOWN if f"{name}_".startswith(f"{known}_")), None)


def runs_code(own: dict) -> bool:
    """Whether an evaluation runs what a model writes: not in a rehearsal, and no shard, which only asks for it."""
    return not own.keys() & {"by_lot", "shard"} and any(task.get("runs_code") for task in own.get("tasks", {}).values())


def read(folders: list[Path], name: str) -> Task:
    """A task of one's own, refused if it is missing, faulty, or reaches for more than its rows."""
    path = page.file_of(folders, name, ".yaml")
    task, value, where = faults.checked(Task, path)
    if task.task != name:
        raise Refusal(f"{where['task',]}: task: {task.task!r} is not the name of its file; say {name}")
    for key, line in where.items():
        if isinstance(said := inner(value, key), str):
            refuse_reach(line, key, said)
    return task


def environment() -> ImmutableSandboxedEnvironment:
    """Jinja as a task's texts are filled in: lm-eval's, but that it reaches nothing of Python."""
    made = ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    made.filters["regex_replace"] = regex_replace
    return made


def regex_replace(text: str, pattern: str, repl: str, count: int = 0) -> str:
    """lm-eval's own filter beside Jinja's."""
    return re.sub(pattern, repl, text, count=count)


def inner(value: Any, key: tuple) -> Any:
    for part in key:
        value = value[part]
    return value


def refuse_reach(line: str, key: tuple, text: str) -> None:
    """Raises: Refusal, if a text is Jinja that lm-eval could not fill in, or that reaches into Python."""
    try:
        template.refuse_faults_in(environment(), Path(dotted(key)), text)
    except Refusal as refusal:
        raise Refusal(f"{line}: {refusal}") from None
