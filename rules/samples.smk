# What models say and what it is worth: completions/{name}, gathered from shards, scores/{name}, and the rows chosen from
# them, each with a ledger of what was left out. answers/{name} are completions that evaluations ask for.


rule sample_shard:
    """Answer a shard of a data set's prompts, each n times."""
    input:
        recipe=trigger("shards"),
        made=manifests("shards"),
        made_files=ancient(folders("shards")),
    output:
        manifest="shards/{name}.json",
        run="shards/{name}.run.json",
        folder=directory("shards/{name}"),
    log:
        "logs/sample_shard/{name}.log",
    benchmark:
        "benchmarks/sample_shard/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("sample_shard", "shards"),
    conda:
        conda("shards")
    container:
        container("shards")
    threads: threads_of("shards")
    resources:
        **asked("shards", *SPREAD),
    shell:
        "exec python -m posttrain.build shards/{wildcards.name} > {log} 2>&1"


rule gather_completions:
    """Put the shards of a set of completions together, every prompt once."""
    input:
        recipe=trigger("completions"),
        made=manifests("completions"),
        made_files=ancient(folders("completions")),
    output:
        manifest="completions/{name}.json",
        run="completions/{name}.run.json",
        folder=directory("completions/{name}"),
    log:
        "logs/gather_completions/{name}.log",
    wildcard_constraints:
        name=plan.made_by("gather_completions", "completions"),
    group:
        group("completions")
    conda:
        conda("completions")
    container:
        container("completions")
    threads: threads_of("completions")
    resources:
        **asked("completions"),
    shell:
        "exec python -m posttrain.build {output.folder} > {log} 2>&1"


use rule gather_completions as gather_answers with:
    # Put the shards of a model's answers to an evaluation's prompts together.
    input:
        recipe=trigger("answers"),
        made=manifests("answers"),
        made_files=ancient(folders("answers")),
    output:
        manifest="answers/{name}.json",
        run="answers/{name}.run.json",
        folder=directory("answers/{name}"),
    log:
        "logs/gather_answers/{name}.log",
    wildcard_constraints:
        name=plan.made_by("gather_answers", "answers"),
    group:
        group("answers")
    conda:
        conda("answers")
    container:
        container("answers")
    threads: threads_of("answers")
    resources:
        **asked("answers"),


rule score_completions:
    """Score completions by a verifier, a reward model, a judge, or scores that there are."""
    input:
        recipe=trigger("scores"),
        made=manifests("scores"),
        made_files=ancient(folders("scores")),
    output:
        manifest="scores/{name}.json",
        run="scores/{name}.run.json",
        folder=directory("scores/{name}"),
    log:
        "logs/score_completions/{name}.log",
    benchmark:
        "benchmarks/score_completions/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("score_completions", "scores"),
    group:
        group("scores")
    conda:
        conda("scores")
    container:
        container("scores")
    threads: threads_of("scores")
    resources:
        **asked("scores", *SPREAD),
    shell:
        "exec python -m posttrain.build scores/{wildcards.name} > {log} 2>&1"


rule select_data:
    """Keep the best completions, of each prompt or of all."""
    input:
        recipe=trigger("data"),
        made=manifests("data"),
        made_files=ancient(folders("data")),
    output:
        manifest="data/{name}.json",
        run="data/{name}.run.json",
        folder=directory("data/{name}"),
    log:
        "logs/select_data/{name}.log",
    wildcard_constraints:
        name=plan.made_by("select_data", "data"),
    group:
        group("data")
    conda:
        here
    threads: threads_of("data")
    resources:
        **asked("data"),
    shell:
        "exec python -m posttrain.build data/{wildcards.name} > {log} 2>&1"


rule select_preferences:
    """Pair the best completion of each prompt with one that is worth less."""
    input:
        recipe=trigger("preferences"),
        made=manifests("preferences"),
        made_files=ancient(folders("preferences")),
    output:
        manifest="preferences/{name}.json",
        run="preferences/{name}.run.json",
        folder=directory("preferences/{name}"),
    log:
        "logs/select_preferences/{name}.log",
    wildcard_constraints:
        name=plan.made_by("select_preferences", "preferences"),
    group:
        group("preferences")
    conda:
        here
    threads: threads_of("preferences")
    resources:
        **asked("preferences"),
    shell:
        "exec python -m posttrain.build preferences/{wildcards.name} > {log} 2>&1"


rule select_answers:
    """Keep the last answer of each conversation."""
    input:
        recipe=trigger("data"),
        made=manifests("data"),
        made_files=ancient(folders("data")),
    output:
        manifest="data/{name}.json",
        run="data/{name}.run.json",
        folder=directory("data/{name}"),
    log:
        "logs/select_answers/{name}.log",
    wildcard_constraints:
        name=plan.made_by("select_answers", "data"),
    group:
        group("data")
    conda:
        here
    threads: threads_of("data")
    resources:
        **asked("data"),
    shell:
        "exec python -m posttrain.build data/{wildcards.name} > {log} 2>&1"


rule select_revisions:
    """Pair the last answer of each conversation with the first."""
    input:
        recipe=trigger("preferences"),
        made=manifests("preferences"),
        made_files=ancient(folders("preferences")),
    output:
        manifest="preferences/{name}.json",
        run="preferences/{name}.run.json",
        folder=directory("preferences/{name}"),
    log:
        "logs/select_revisions/{name}.log",
    wildcard_constraints:
        name=plan.made_by("select_revisions", "preferences"),
    group:
        group("preferences")
    conda:
        here
    threads: threads_of("preferences")
    resources:
        **asked("preferences"),
    shell:
        "exec python -m posttrain.build preferences/{wildcards.name} > {log} 2>&1"
