# Tokenizers, tokens and references, named by what they are, so that models of equal rows, template and lengths share
# them. The first two need neither weights nor a GPU: they are ready before one is asked for.


rule make_tokenizer:
    """Give a tokenizer its template and added tokens."""
    input:
        recipe=trigger("tokenizers"),
        made=manifests("tokenizers"),
        made_files=ancient(folders("tokenizers")),
    output:
        manifest="tokenizers/{name}.json",
        run="tokenizers/{name}.run.json",
        folder=directory("tokenizers/{name}"),
    log:
        "logs/make_tokenizer/{name}.log",
    wildcard_constraints:
        name=plan.made_by("make_tokenizer", "tokenizers"),
    group:
        group("tokenizers")
    conda:
        here
    threads: threads_of("tokenizers")
    resources:
        **asked("tokenizers"),
    shell:
        "exec python -m posttrain.build tokenizers/{wildcards.name} > {log} 2>&1"


rule tokenize_rows:
    """Template, tokenise, check and cut the rows, once for all models that read them."""
    input:
        recipe=trigger("tokens"),
        made=manifests("tokens"),
        made_files=ancient(folders("tokens")),
    output:
        manifest="tokens/{name}.json",
        run="tokens/{name}.run.json",
        folder=directory("tokens/{name}"),
    log:
        "logs/tokenize_rows/{name}.log",
    benchmark:
        "benchmarks/tokenize_rows/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("tokenize_rows", "tokens"),
    group:
        group("tokens")
    conda:
        here
    threads: threads_of("tokens")
    resources:
        **asked("tokens"),
    shell:
        "exec python -m posttrain.build tokens/{wildcards.name} > {log} 2>&1"


rule compute_reference:
    """Ask a base for the log-probs of all answers, once for all models that are held to it."""
    input:
        recipe=trigger("reference"),
        made=manifests("reference"),
        made_files=ancient(folders("reference")),
    output:
        manifest="reference/{name}.json",
        run="reference/{name}.run.json",
        folder=directory("reference/{name}"),
    log:
        "logs/compute_reference/{name}.log",
    benchmark:
        "benchmarks/compute_reference/{name}.tsv"
    wildcard_constraints:
        name=plan.made_by("compute_reference", "reference"),
    conda:
        here
    threads: threads_of("reference")
    resources:
        **asked("reference", *SPREAD),
    shell:
        "exec python -m posttrain.build reference/{wildcards.name} > {log} 2>&1"
