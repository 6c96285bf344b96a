"""Where and how fast: what is never part of what an artifact is."""

from typing import Literal, Self

from pydantic import Field, model_validator

from posttrain.recipes.fields import Count, Entry, Positive


class Runtime(Entry):
    """Where and how fast: never part of what an artifact is."""

    hours: Positive | None = Field(None, description="time limit of the job, hours; what the plan expects if unsaid")
    mem_gb: Positive | None = Field(None, description="memory of its machine, GB; what the plan expects if unsaid")
    threads: Count = Field(1, description="CPU threads a process")

    def of(self, role: str) -> "Runtime":
        """What a model is opened with, by its role."""
        return self


class SampleRuntime(Runtime):
    gpus: int = Field(0, ge=0, description="GPUs; 0 samples on the CPU, and more than 1 are vLLM's")
    shards: Count = Field(1, description="jobs that share the prompts; `gpus`, `hours` and `mem_gb` are each one's")


class ReadRuntime(Runtime):
    gpus: int = Field(0, ge=0, description="GPUs; 0 computes on the CPU, and more than 1 are vLLM's")
    processes: Count = Field(1, description="processes that share the rows on a CPU")

    @model_validator(mode="after")
    def processes_fit_the_gpus(self) -> "ReadRuntime":
        if self.gpus and self.processes > 1:
            raise ValueError(f"processes {self.processes} would each hold the model on the GPUs of one job; say 1")
        return self


class SharedRuntime(ReadRuntime):
    shards: Count = Field(1, description="jobs that share the prompts; `gpus`, `hours` and `mem_gb` are each one's")


class JudgedRuntime(SharedRuntime):
    judge: ReadRuntime | None = Field(
        None,
        exclude=True,  # another job's
        description="the judge's job, with its own `gpus`, `hours` and `mem_gb`; as those that answer if unsaid",
    )

    def of(self, role: str) -> Runtime:
        """What a model is opened with, by its role: a judge may have its own."""
        return self.judge or self if role == "judge" else self


class Reader(Entry):
    """What reads rows by a `runtime`, and by an engine of its own or of what it samples, if it has any."""

    @model_validator(mode="after")
    def fit_the_engine(self) -> Self:
        answers, judge = (self, getattr(self, "sampling", None)), (getattr(self, "judging", None),)
        own = self.runtime.of("judge")
        if own is self.runtime:
            fit("runtime", own, answers + judge)
        else:
            fit("runtime", self.runtime, answers)
            fit("runtime.judge", own, judge)
        return self


def fit(at: str, runtime: SampleRuntime | ReadRuntime, asked: tuple) -> None:
    """Raises: ValueError, if the engines of what is asked cannot use a runtime."""
    engines = {part.engine for part in asked if hasattr(part, "engine")}
    if runtime.gpus > 1 and engines != {"vllm"}:
        raise ValueError(
            f"{at}.gpus {runtime.gpus} are more than transformers can use; say 1, for only what vLLM "
            "answers is spread over several"
        )
    if getattr(runtime, "processes", 1) > 1 and "vllm" in engines:
        raise ValueError(f"{at}.processes {runtime.processes} would each open a vLLM, which answers all in one; say 1")


OFFLOADS = {"zero2": ["optimizer"], "zero3": ["optimizer", "all"], "fsdp": ["all"]}  # what a launch can move


class TrainRuntime(Runtime):
    gpus: int = Field(0, ge=0, description="GPUs of all nodes together, one process each; 0 trains on the CPU")
    processes: Count | None = Field(None, description="processes when there are no GPUs (gloo)")
    nodes: Count = Field(1, description="machines that share the processes evenly; several are SLURM's to give")
    launch: Literal["single", "ddp", "zero2", "zero3", "fsdp"] = Field(
        "single", description="accelerate file in config/launch/"
    )
    micro_batch_size: Count | None = Field(None, description="sequences a process sees at once; all it can if unsaid")
    offload: Literal["none", "optimizer", "all"] = Field(
        "none", description="what waits in the CPU's memory: the optimizer's state, or parameters and gradients too"
    )
    attn_implementation: Literal["auto", "sdpa", "eager", "flash_attention_2"] = Field(
        "auto", description="attention kernel; `auto` is flash_attention_2 where that works, and sdpa elsewhere"
    )
    use_kernels: bool = Field(False, description="the hub's kernels in place of transformers' layers, on a GPU")
    activation_checkpointing: bool = Field(False, description="recompute activations to save memory")
    save_steps: Count = Field(100, description="steps between checkpoints: what a kill can cost")
    logging_steps: Count = Field(10, description="steps between logged losses")
    eval_steps: Count | None = Field(None, description="steps between losses on the rows' test split; never if unsaid")
    tracking: Literal["none", "tensorboard", "trackio", "wandb"] = Field("none", description="who draws the curves")
    dataloader_num_workers: int = Field(0, ge=0, description="processes that read batches")
    ddp_timeout: Count = Field(1800, description="seconds that GPUs wait for one of them before all give up")
    shards: Count = Field(1, description="processes that tokenise the rows")

    @property
    def world_size(self) -> int:
        return self.gpus or self.processes or 1

    @model_validator(mode="after")
    def processes_fit_the_launch(self) -> "TrainRuntime":
        if self.gpus and self.processes:
            raise ValueError("processes are counted by gpus; say one of the two")
        if self.world_size > 1 and self.launch == "single":
            raise ValueError(f"launch `single` is one process, and {self.world_size} are asked for; say `launch: ddp`")
        if self.world_size % self.nodes:
            raise ValueError(
                f"nodes {self.nodes} cannot share {self.world_size} processes evenly; change one of the two"
            )
        return self

    @model_validator(mode="after")
    def can_be_done_so(self) -> "TrainRuntime":
        able = OFFLOADS.get(self.launch, [])
        if self.offload not in ("none", *able):
            mend = f"say {' or '.join(able)}" if able else f"launch {', '.join(OFFLOADS)} can"
            raise ValueError(f"offload {self.offload} is nothing that launch `{self.launch}` can do; {mend}")
        for field, said in (("use_kernels", True), ("attn_implementation", "flash_attention_2")):
            if getattr(self, field) == said and not self.gpus:
                raise ValueError(f"{field} {str(said).lower()} is for GPUs, and `gpus` is 0; leave it out on a CPU")
        return self
