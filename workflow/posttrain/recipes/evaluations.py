"""Figures of models."""

from typing import Literal

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count
from posttrain.recipes.runtime import JudgedRuntime, Reader, ReadRuntime, SharedRuntime
from posttrain.recipes.sampling import SampledOnce, Sampling
from posttrain.recipes.scoring import Scale, Verifying


class Evaluation(Reader):
    """`evals/<model>/<name>`: figures of each of some models."""

    models: list[str] = Field(min_length=1, description="the models: names of targets or hub ids")


class RowsEvaluation(Evaluation):
    """Figures of a split that none of the models was trained on."""

    split: Literal["train", "test"] = Field("test", description="which split of the rows")
    runtime: ReadRuntime = ReadRuntime()


class SampledEvaluation(RowsEvaluation):
    """Figures of what a model answers."""

    prompts: str = Field(description="the rows: a name under data:")
    sampling: Sampling = Sampling()


class AnswersEvaluation(SampledEvaluation, Verifying):
    """How many answers are right, with a score of 1: greedily, sampled, and of n samples the best (pass@k, arXiv
    2107.03374)."""

    runtime: SharedRuntime = SharedRuntime()


AS_ITSELF = {"temperature": 1, "top_k": 0, "top_p": 1}  # of a sampling: the model's own distribution


class DriftEvaluation(SampledEvaluation):
    """How far a model has moved from another: KL of its own answers to that one, in nats."""

    drift_from: str = Field(description="the policy that it began as: a model's name or a hub id")

    @model_validator(mode="after")
    def reads_both(self) -> "DriftEvaluation":
        if self.sampling.engine != "transformers":
            raise ValueError("sampling.engine is transformers here, which opens both models; leave it out")
        return self

    @model_validator(mode="after")
    def draws_as_the_model(self) -> "DriftEvaluation":
        for field, plain in AS_ITSELF.items():
            if (said := getattr(self.sampling, field)) != plain:
                raise ValueError(
                    f"sampling.{field} {said:g} draws otherwise than the model does, whose KL this is; leave it out"
                )
        return self


class JudgedEvaluation(RowsEvaluation):
    """What a judge says of a model's answers, one to each prompt."""

    prompts: str = Field(description="the rows: a name under data:")
    judge: str = Field(description="the model that is asked: a target's name or a hub id")
    rubric: str = Field(description="what it is asked: config/judges/<rubric>.jinja")
    sampling: SampledOnce = Field(SampledOnce(), description="how the answers are drawn")
    judging: SampledOnce = Field(SampledOnce(), description="how the judge is asked")
    runtime: JudgedRuntime = JudgedRuntime()


class RatedEvaluation(JudgedEvaluation, Scale):
    """How a judge rates a model's answers to each turn of the user's, one after the other, as MT-Bench does (arXiv
    2306.05685)."""


class ComparedEvaluation(JudgedEvaluation):
    """How often a judge prefers a model's answers to another's, shown in both orders, as AlpacaEval does (arXiv
    2404.04475)."""

    against: str = Field(description="the model that the others are compared with: a target's name or a hub id")

    @model_validator(mode="after")
    def compares_two(self) -> "ComparedEvaluation":
        if self.against in self.models:
            raise ValueError(f"against {self.against} is one of `models`, and would tie with itself; leave one out")
        return self


class PairsEvaluation(RowsEvaluation):
    """How often a reward model scores the chosen answer higher, or another model finds it likelier."""

    pairs: str = Field(description="the rows: a name under preferences:")
    max_length: Count = Field(1024, description="tokens of prompt and answer that the model may be given")
    reference: str | None = Field(
        None, description="a model whose log-probs are taken off, as DPO does: its name or a hub id"
    )


class TextEvaluation(RowsEvaluation):
    """How many bits a model needs for a byte of text, and its perplexity."""

    text: str = Field(description="the rows: a name under data:")
    max_length: Count = Field(1024, description="tokens of a text that the model sees at once")


class TasksEvaluation(Evaluation):
    """Figures by lm-eval's tasks. All but `runtime` is what they are: another `block_size` sums in another order."""

    tasks: list[str] = Field(
        min_length=1, description="lm-eval's own, by name (docs/evaluation.md), or files of config/tasks"
    )
    engine: Literal["transformers", "vllm"] = Field("transformers", description="what answers; docs/environments.md")
    limit: Count | None = Field(None, description="documents of each task, the first; all if unsaid")
    num_fewshot: int | None = Field(
        None, ge=0, description="examples before each question, of tasks that take any; as many as each says if unsaid"
    )
    seed: int = Field(1234, ge=0, lt=1 << 32, description="seed of the examples' draw")
    max_new_tokens: Count | None = Field(None, description="tokens after which an answer is cut; each task's if unsaid")
    apply_chat_template: bool | None = Field(
        None, description="ask in the model's own chat template; if unsaid, where it has one"
    )
    fewshot_as_multiturn: bool = Field(True, description="examples are turns there, and not one text")
    block_size: Count = Field(
        default_factory=lambda said: DOCUMENTS[said.get("engine", "transformers")],
        description="documents that are given to the engine at once, and kept over a kill, and requests that "
        "transformers reads side by side: 8 if unsaid, or 256 of which vllm fills its own batch",
    )
    runtime: SharedRuntime = SharedRuntime()


DOCUMENTS = {"transformers": 8, "vllm": 256}
# Of each, the field that none after it has.
KINDS = {
    "drift_from": DriftEvaluation,
    "verifier": AnswersEvaluation,
    "against": ComparedEvaluation,
    "judge": RatedEvaluation,
    "pairs": PairsEvaluation,
    "text": TextEvaluation,
    "tasks": TasksEvaluation,
}
