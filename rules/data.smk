# Rows: data/{name} holds conversations, preferences/{name} pairs, both as parquet splits with a ledger.


rule mix_data:
    """Join the sources of a data set, checked row by row."""
    input:
        recipe=trigger("data"),
        made=manifests("data"),
        made_files=ancient(folders("data")),
        files=sources("data"),
    output:
        manifest="data/{name}.json",
        run="data/{name}.run.json",
        folder=directory("data/{name}"),
    log:
        "logs/mix_data/{name}.log",
    benchmark:
        "benchmarks/mix_data/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("mix_data", "data"),
    group:
        group("data")
    conda:
        here
    threads: threads_of("data")
    resources:
        **asked("data"),
    shell:
        "exec python -m posttrain.build data/{wildcards.name} > {log} 2>&1"


rule mix_preferences:
    """Join the sources of a preference set, checked pair by pair."""
    input:
        recipe=trigger("preferences"),
        made=manifests("preferences"),
        made_files=ancient(folders("preferences")),
        files=sources("preferences"),
    output:
        manifest="preferences/{name}.json",
        run="preferences/{name}.run.json",
        folder=directory("preferences/{name}"),
    log:
        "logs/mix_preferences/{name}.log",
    benchmark:
        "benchmarks/mix_preferences/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("mix_preferences", "preferences"),
    group:
        group("preferences")
    conda:
        here
    threads: threads_of("preferences")
    resources:
        **asked("preferences"),
    shell:
        "exec python -m posttrain.build preferences/{wildcards.name} > {log} 2>&1"
