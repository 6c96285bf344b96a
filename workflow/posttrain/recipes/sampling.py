"""What is sampled from models: completions of prompts, and rows of what was said in them."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from posttrain.recipes.conversations import Conversation
from posttrain.recipes.fields import Count, Entry, NotNegative
from posttrain.recipes.runtime import Reader, Runtime, SampleRuntime

BLOCK_SIZES = {"transformers": 64, "vllm": 1024}


class Sampling(Entry):
    """How completions are drawn. All of it is what they are, `engine` and `block_size` too: each engine has its own
    draws, and other shapes sum in another order.
    """

    engine: Literal["transformers", "vllm"] = Field("transformers", description="what answers; docs/environments.md")
    n: Count = Field(1, description="completions of each prompt")
    temperature: NotNegative = Field(1, description="0 takes the likeliest token")
    top_k: int = Field(0, ge=0, description="the likeliest tokens to draw from; 0 for all")
    top_p: Annotated[float, Field(gt=0, le=1)] = Field(1, description="the likeliest tokens that make up this share")
    max_new_tokens: Count = Field(256, description="tokens after which a completion is cut")
    stop: list[Annotated[str, Field(min_length=1)]] = Field(
        [], description="texts that end a completion, and are left out of it: the first of them that it comes to"
    )
    seed: int = Field(
        0, ge=0, lt=1 << 32, description="seed of every draw, with the prompt's row and the sample's number"
    )
    block_size: Annotated[int, Field(gt=1)] = Field(
        default_factory=lambda said: BLOCK_SIZES[said.get("engine", "transformers")],
        description="sequences that are given to the engine at once, and kept over a kill: transformers' batch, 64 "
        "if unsaid, or 1024 of which vllm fills its own",
    )

    @model_validator(mode="after")
    def worth_drawing(self) -> "Sampling":
        if self.temperature == 0 and self.n > 1:
            raise ValueError(f"n {self.n} at temperature 0 is {self.n} times the same completion; say n: 1")
        return self


class SampledOnce(Sampling):
    """How one completion of each prompt is drawn."""

    n: Literal[1] = Field(1, description="completions of each prompt")
    temperature: NotNegative = Field(0, description="0 takes the likeliest token")


class Completions(Reader):
    """`completions/<name>`: sampled answers to each prompt of a data set (its turns before the last answer)."""

    model: str = Field(description="the model that answers: a target's name or a hub id")
    prompts: str = Field(description="the rows: a name under data:")
    split: Literal["train", "test"] = Field("train", description="which split of them")
    conversation: Conversation | None = Field(None, description="what is asked beside the prompt; it alone if unsaid")
    sampling: Sampling = Sampling()
    runtime: SampleRuntime = SampleRuntime()


class LastAnswers(Entry):
    """`data/<name>` of conversations: each prompt with its last answer, a revision say."""

    completions: str = Field(description="the conversations: a name under completions:")
    select: Literal["last_answer"]
    half: Literal["first", "second"] | None = Field(None, description="half of the prompts, by number; all if unsaid")
    runtime: Runtime = Runtime()


class LastOverFirst(LastAnswers):
    """`preferences/<name>` of conversations: the last answer to each prompt, a revision say, against the first."""

    select: Literal["last_vs_first"]
