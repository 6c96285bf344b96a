"""Held-out accuracy of models, answered greedily: the share of rows whose answer is right, word for word.

python scripts/evaluate_spelling.py models/spell-sft models/spell-dpo --data data/spell-words
"""

import argparse
from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from posttrain.data import rows
from posttrain.evaluate import answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="folders of models")
    parser.add_argument("--data", required=True, type=Path, help="a data set with a test split")
    args = parser.parse_args()
    disable_progress_bar()
    held_out = [row["messages"] for row in rows.read(args.data / "test.parquet")]
    for folder in args.models:
        model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
        print(f"{folder:24} {answers.accuracy(model, tokenizer, held_out):6.1%} of {len(held_out)} held-out rows right")


if __name__ == "__main__":
    main()
