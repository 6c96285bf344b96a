"""A model's answers, and how many are right."""

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH = 128  # prompts answered at once
LONGEST = 32  # tokens an answer may have


@torch.no_grad()
def greedy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[list[dict]]) -> list[str]:
    """The most likely answer to each prompt (a list of turns), token by token."""
    tokenizer.padding_side = "left"
    answers = []
    for start in range(0, len(prompts), BATCH):
        batch = tokenizer.apply_chat_template(
            prompts[start : start + BATCH],
            add_generation_prompt=True,
            padding=True,
            return_tensors="pt",
            return_dict=True,
        )
        said = {name: batch[name] for name in ("input_ids", "attention_mask")}
        made = model.generate(**said, max_new_tokens=LONGEST, do_sample=False)
        answers += tokenizer.batch_decode(made[:, said["input_ids"].shape[1] :], skip_special_tokens=True)
    return answers


def accuracy(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, conversations: list[list[dict]]) -> float:
    """The share of conversations whose last turn the model says, word for word, from the turns before it."""
    answers = greedy(model, tokenizer, [turns[:-1] for turns in conversations])
    right = [answer == turns[-1]["content"] for answer, turns in zip(answers, conversations, strict=True)]
    return sum(right) / len(right)
