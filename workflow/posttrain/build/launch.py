"""What a training is launched with: what the plan asks for, or less at once where that did not fit into memory."""

from pathlib import Path

from posttrain.files import Refusal, read_json, write_json

NAME = "launch.json"  # in a work folder: what is in force there
FIXED = ("processes", "launch")  # a checkpoint is gone on from with these only
BATCH = ("micro_batch_size", "gradient_accumulation_steps")  # whose product, a process's part of the batch, stays

BLOCK_TOO_LARGE = (  # of a reference's job
    "out of memory with a block of rows, which no micro_batch_size makes smaller, for the last bits of a log-prob hang "
    "on the rows beside it; say more gpus (`launch: zero3`) under runtime, or lower max_length, or say `dtype: "
    "bfloat16`, which make other models"
)
MORE = "give the job a GPU with more memory, or on a CPU more mem_gb or fewer processes"
READERS = ("sample_shard", "score_completions", "evaluate_shard", "evaluate_model")


def changes(work: Path, runtime: dict) -> list[str]:
    """What is asked for otherwise than the checkpoints of a work folder were made with, both said."""
    before = read_json(work / NAME)
    asked = {name: runtime[name] for name in FIXED if name in runtime}
    return [f"{name} {before.get(name)} → {said}" for name, said in asked.items() if before.get(name) != said]


def settle(work: Path, runtime: dict) -> None:
    """Write down what is in force: as asked, or with the smaller micro-batch that this was found to fit with."""
    said = {name: runtime[name] for name in (*FIXED, *BATCH) if name in runtime}
    asked = read_json(work / NAME).get("asked")
    if changes(work, runtime) or asked is None or asked != said.get("micro_batch_size"):
        write_json(work / NAME, said)


def in_force(work: Path, runtime: dict) -> dict:
    """A target's runtime, with the micro-batch that its work folder has come to."""
    said = read_json(work / NAME)
    return runtime | {name: said[name] for name in BATCH if name in said}


def shrink(work: Path, target: dict) -> str:
    """Have the next try see less at once of the same global batch; what it will be, in words.

    Raises: Refusal, where there is nothing to halve, or halving would make another model.
    """
    runtime = in_force(work, target["runtime"])
    micro, steps = (runtime[name] for name in BATCH)
    less = "say `activation_checkpointing: true` or more gpus (`launch: zero3`) under runtime, or lower max_length"
    if "micro_batch_size" in target["own"]:
        raise Refusal(
            f"out of memory with micro_batch_size {micro}, which is part of what this model is and so is not halved; "
            f"{less}, or micro_batch_size itself, which makes another model"
        )
    if micro == 1:
        raise Refusal(f"out of memory with micro_batch_size 1, of which there is no half; {less}")
    smaller = next_smaller(micro, steps)
    said = {"micro_batch_size": smaller, "gradient_accumulation_steps": micro * steps // smaller}
    asked = target["runtime"]["micro_batch_size"]
    write_json(work / NAME, read_json(work / NAME) | said | {"asked": asked})
    return f"out of memory with micro_batch_size {micro}; goes on with {smaller}, and the same batch"


def said_at(runtime: dict) -> str:
    """The key of a recipe that says a target's runtime: a judge may have its own."""
    return runtime.get("at", "runtime")


def too_large(target: dict) -> str | None:
    """What to lower or to give where a stage that trains nothing has run out of memory; None if that is not known."""
    stage, own = target["stage"], target["own"]
    if stage == "compute_reference":
        return BLOCK_TOO_LARGE
    if stage not in READERS:
        return None
    key = "judging" if "judging" in own else "sampling"  # of two, the answers' is another job's
    if "vllm" in (own.get("engine"), own.get(key, {}).get("engine")):
        at = said_at(target["runtime"])
        return f"out of memory by vLLM; say more gpus under {at}, or on a CPU less VLLM_CPU_KVCACHE_SPACE (GB)"
    if key in own:
        block = f"out of memory with {own[key]['block_size']} sequences at once"
        return f"{block}; lower {key}.block_size or max_new_tokens, which make other answers, or {MORE}"
    if "tasks" in own:
        return f"out of memory with {own['block_size']} requests at once; lower block_size, or {MORE}"
    if "max_length" in own:
        return f"out of memory with a batch of rows, of a fixed size; {MORE}, or lower max_length to below 512"
    return None


def next_smaller(micro: int, steps: int) -> int:
    """Half of a micro-batch; of an odd one, the next that divides a process's part of the batch."""
    if micro % 2 == 0:
        return micro // 2
    return max(size for size in range(1, micro) if micro * steps % size == 0)


def halving(work: Path) -> dict:
    """For the run record: which micro-batch was asked for and which one ran, if that was another."""
    said = read_json(work / NAME)
    if "asked" not in said:
        return {}
    equal = "to what was asked for, to rounding and not to the bit: sums of another order"
    ran = {"asked": said["asked"], "ran": said["micro_batch_size"], "why": "out of memory", "equal": equal}
    return {"micro_batch_size": ran}
