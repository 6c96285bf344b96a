"""Give a tokenizer its chat template and added tokens. Needs no weights.

python -m posttrain.build tokenizers/<intent>
"""

from transformers import AutoTokenizer

from posttrain.build.job import open_job
from posttrain.data import tokenizer as tokenizers


def main() -> None:
    with open_job(__doc__) as job:
        made_from = job.inputs.get("from")
        tokenizer = AutoTokenizer.from_pretrained(made_from) if made_from else tokenizers.of_bytes()
        if "template" in job.texts:
            tokenizer.chat_template = job.texts["template"]
        tokenizers.add_tokens(tokenizer, job.recipe.get("added_tokens", []), job.recipe.get("eos_token"))
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizers.check(tokenizer)
        tokenizer.save_pretrained(job.out)
        job.metrics["vocabulary"] = len(tokenizer)


if __name__ == "__main__":
    main()
