"""Greedy answers, and the share of them that is right."""

from conftest import SFT, Project, rows
from posttrain.evaluate import answers


def test_a_batch_answers_as_each_prompt_alone_and_accuracy_counts_whole_answers(micro_built: Project):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = micro_built.path(SFT)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    prompts = [[{"role": "user", "content": word}] for word in ("a", "gnu", "a longer prompt")]
    together = answers.greedy(model, tokenizer, prompts)
    assert together == [answers.greedy(model, tokenizer, [prompt])[0] for prompt in prompts]
    assert any(together), "the model says nothing at all, so this would show nothing"

    right = [[*prompt, {"role": "assistant", "content": said}] for prompt, said in zip(prompts, together, strict=True)]
    wrong = [*right[:2], rows()[0]["messages"]]
    assert answers.accuracy(model, tokenizer, right) == 1
    assert answers.accuracy(model, tokenizer, wrong) == 2 / 3
