# Figures of models: evals/{model}/{suite} holds figures.json and every sample with its score.


rule evaluate_model:
    """Measure a model on rows that none was trained on."""
    input:
        recipe=trigger("evals"),
        made=manifests("evals"),
        made_files=ancient(folders("evals")),
    output:
        manifest="evals/{name}.json",
        run="evals/{name}.run.json",
        folder=directory("evals/{name}"),
    log:
        "logs/evaluate_model/{name}.log",
    benchmark:
        "benchmarks/evaluate_model/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("evaluate_model", "evals"),
    conda:
        conda("evals")
    container:
        container("evals")
    threads: threads_of("evals")
    resources:
        **asked("evals", *SPREAD),
    shell:
        "exec python -m posttrain.build evals/{wildcards.name} > {log} 2>&1"


rule evaluate_shard:
    """Answer a shard of what a suite asks; its evaluation gathers the answers, and measures."""
    input:
        recipe=trigger("shards"),
        made=manifests("shards"),
        made_files=ancient(folders("shards")),
    output:
        manifest="shards/{name}.json",
        run="shards/{name}.run.json",
        folder=directory("shards/{name}"),
    log:
        "logs/evaluate_shard/{name}.log",
    benchmark:
        "benchmarks/evaluate_shard/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("evaluate_shard", "shards"),
    conda:
        conda("shards")
    container:
        container("shards")
    threads: threads_of("shards")
    resources:
        **asked("shards", *SPREAD),
    shell:
        "exec python -m posttrain.build shards/{wildcards.name} > {log} 2>&1"
