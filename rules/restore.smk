# What needs no work: artifacts the store already holds, and names that no recipe has.


rule restore:
    """Link an artifact that the store holds, or that a twin recipe has just built."""
    input:
        recipe=trigger(),
        twin=twin(),
    output:
        manifest="{target}.json",
        run="{target}.run.json",
        folder=directory("{target}"),
    log:
        "logs/restore/{target}.log",
    wildcard_constraints:
        target=plan.made_by("restore"),
    localrule: True
    conda:
        here
    shell:
        "exec python -m posttrain.build {wildcards.target} > {log} 2>&1"


rule unknown:
    """Answer a name that no recipe has with the nearest ones."""
    input:
        suggestion,
    output:
        "{nope}",
    log:
        "logs/unknown/{nope}.log",
    wildcard_constraints:
        nope=plan.unknown(),
    localrule: True
    conda:
        here
    shell:
        "false {output} > {log}"
