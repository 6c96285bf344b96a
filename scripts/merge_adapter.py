"""An adapter and its base as one model.

python -m posttrain.build models/<name>
"""

from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from posttrain.build.job import open_job
from posttrain.checkpoints import has_head, open_model
from posttrain.train import gates, models, saving


def main() -> None:
    with open_job(__doc__) as job:
        adapter = job.inputs["base"]
        kind = AutoModelForSequenceClassification if has_head(adapter) else AutoModelForCausalLM
        model, tokenizer = open_model(kind, adapter, dtype="auto").eval(), AutoTokenizer.from_pretrained(adapter)
        models.agree_on_ends(model.config, tokenizer)
        before = saving.probe(model, tokenizer)
        merged = model.merge_and_unload(safe_merge=True)
        gates.said_the_same(saving.probe(merged, tokenizer), before)
        saving.save(merged, tokenizer, job)


if __name__ == "__main__":
    main()
