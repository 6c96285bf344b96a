"""Making and checking tokenizers."""

from jinja2 import TemplateError
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from posttrain.files import Refusal

PROBE = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


def of_bytes() -> PreTrainedTokenizerFast:
    """One token a byte: any text, no training, nothing unknown."""
    special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*special, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        additional_special_tokens=special[3:],
        clean_up_tokenization_spaces=False,
    )


def add_tokens(tokenizer: PreTrainedTokenizerBase, added: list[str], eos_token: str | None) -> None:
    """Give a tokenizer the tokens its template needs, each one id."""
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken(t, special=True) for t in added]}, False)
    if eos_token is not None:
        if eos_token not in tokenizer.get_vocab():
            raise Refusal(f"eos_token {eos_token!r} is not in the vocabulary; name it in `added_tokens` too")
        tokenizer.eos_token = eos_token
    for token in added:
        ids = tokenizer.encode(token, add_special_tokens=False)
        if len(ids) != 1:
            raise Refusal(f"added token {token!r} is {len(ids)} tokens; the base's tokenizer splits it")


def check(tokenizer: PreTrainedTokenizerBase) -> None:
    """Refuse a tokenizer whose template lets an answer have no end, or that has no token to pad with."""
    if tokenizer.eos_token_id is None:
        raise Refusal("the tokenizer has no eos token; name one with `eos_token`")
    if tokenizer.chat_template is None:
        return  # text is trained on as it is
    try:
        ids = tokenizer.apply_chat_template(PROBE, return_dict=True)["input_ids"]
        prompt = tokenizer.apply_chat_template(PROBE[:1], add_generation_prompt=True, return_dict=True)["input_ids"]
    except TemplateError as error:
        raise Refusal(f"the chat template fails on a user's and an assistant's turn: {error}") from None
    if tokenizer.eos_token_id not in ids[len(prompt) :]:
        raise Refusal(
            f"the chat template does not end an assistant's turn with the eos token {tokenizer.eos_token!r}: "
            "a model trained on it would never stop. Mend the template, or name its end token with `eos_token`"
        )
    if ids.count(tokenizer.bos_token_id) > 1 and tokenizer.bos_token_id != tokenizer.eos_token_id:
        raise Refusal(f"the chat template adds {tokenizer.bos_token!r} more than once; leave it to the tokenizer")
