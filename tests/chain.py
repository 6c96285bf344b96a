"""The long chain: the quickstart's stages of every kind, four steps each (ORPO eight, to be seen to learn)."""

CHAIN = """\
# Chain: a model reads words (cpt), is shown answers (sft), learns from its best (rs), then from pairs of them (dpo, orpo).
data:
  chain-words: {sources: [{path: texts.jsonl}], test: [{path: held-texts.jsonl}]}
  chain-rows: {sources: [{path: rows.jsonl}], test: [{path: held-rows.jsonl}]}
  chain-best: {scores: chain-tries, select: best_of_n}

completions:
  chain-tries:
    model: chain-sft
    prompts: chain-rows
    sampling: {n: 8, temperature: 0.7, max_new_tokens: 12, block_size: 32, seed: 1}
    runtime: {shards: 1}
  chain-rs-tries:
    extends: chain-tries
    model: chain-rs

scores:
  chain-tries: {completions: chain-tries, verifier: reasoning_gym, args: {task: spell_backward}}
  chain-rs-tries: {completions: chain-rs-tries, reward_model: chain-reward, max_length: 64}

preferences:
  chain-judged: {scores: chain-tries, select: best_vs_worst}
  chain-pairs: {scores: chain-rs-tries, select: best_vs_worst}

models:
  chain-init:
    method: init
    architecture: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2, max_position_embeddings: 64, tie_word_embeddings: true}
    template: bytes
  chain-cpt:
    method: cpt
    base: chain-init
    data: chain-words
    train: {learning_rate: 1e-2, batch_size: 8, max_steps: 4, max_length: 32, bf16: false, seed: 1}
    runtime: {save_steps: 1, logging_steps: 1}
  chain-sft:
    method: sft
    base: chain-cpt
    data: chain-rows
    train: {learning_rate: 1e-2, batch_size: 8, num_train_epochs: 1, max_length: 48, bf16: false, seed: 1}
    runtime: {save_steps: 1, logging_steps: 1}
  chain-reward:
    method: reward
    base: chain-sft
    preferences: chain-judged
    train: {learning_rate: 1e-2, batch_size: 8, max_steps: 4, max_length: 48, bf16: false, seed: 1}
    runtime: {save_steps: 1, logging_steps: 1}
  chain-rs:
    extends: chain-sft
    base: chain-sft
    data: chain-best
  chain-dpo:
    method: dpo
    base: chain-rs
    preferences: chain-pairs
    train: {loss_type: [sigmoid, sft], beta: 0.1, learning_rate: 1e-3, batch_size: 8, max_steps: 4, max_length: 48, bf16: false, seed: 1}
    runtime: {save_steps: 1, logging_steps: 1}
  chain-orpo:
    method: orpo
    base: chain-rs
    preferences: chain-pairs
    train: {beta: 0.1, learning_rate: 1e-2, batch_size: 8, max_steps: 8, max_length: 48, bf16: false, seed: 1}
    runtime: {save_steps: 1, logging_steps: 1}

evals:
  spelling:
    models: [chain-sft, chain-dpo]
    prompts: chain-rows
    verifier: exact_match
    sampling: {n: 2, max_new_tokens: 12, block_size: 16}
  words: {models: [chain-cpt], text: chain-words, max_length: 32}
  judged: {models: [chain-reward], pairs: chain-judged, split: train, max_length: 48}
"""  # noqa: E501
ENDS = [f"evals/chain-{name}" for name in ("dpo/spelling", "sft/spelling", "cpt/words", "reward/judged")]
ENDS += ["models/chain-orpo"]
