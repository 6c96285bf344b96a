"""The program of a card: how a model is opened, and asked something in its own template."""

from pathlib import Path

from posttrain.adapters import is_adapter
from posttrain.files import read_json

CLASSES = {"text-generation": "AutoModelForCausalLM", "text-classification": "AutoModelForSequenceClassification"}
OPENED = """\
from transformers import {kind}, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{place}")
model = {kind}.from_pretrained("{place}")
"""
ADAPTED = """\
from peft import PeftModel
from transformers import {kind}, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("{place}")
model = PeftModel.from_pretrained({kind}.from_pretrained("{base}"), "{place}")
"""
ASKED = 'inputs = tokenizer("…", return_tensors="pt")\n'
ASKED_IN_TURN = """\
messages = [{"role": "user", "content": "…"}]
inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")
"""
ANSWERED = {
    "text-generation": "print(tokenizer.decode(model.generate(**inputs, max_new_tokens=256)[0]))",
    "text-classification": "print(model(**inputs).logits)",
}


def task(folder: Path) -> str:
    """What a checkpoint does, in the hub's words."""
    scores = read_json(folder / "adapter_config.json").get("task_type") == "SEQ_CLS"
    named = read_json(folder / "config.json").get("architectures") or []
    return "text-classification" if scores or any("Classification" in name for name in named) else "text-generation"


def program(folder: Path, place: str, base: str) -> str:
    """Args: place: where the model is opened from; base: the same of what an adapter is of."""
    does = task(folder)
    opened = (ADAPTED if is_adapter(folder) else OPENED).format(kind=CLASSES[does], place=place, base=base)
    asked = ASKED_IN_TURN if (folder / "chat_template.jinja").exists() else ASKED
    return f"{opened}{asked}{ANSWERED[does]}"
