# What the hub is given: cards/{name}.md tells what a model is; published/{name} is the folder that was pushed, with the
# commits in published/{name}.json. Only who asks for it by name publishes; nothing is built from it.


rule make_card:
    """Tell what a model is, how it was made and what it is worth, with the metadata that the hub reads."""
    input:
        made=told("models", "carded", ".json"),
        runs=told("models", "carded", ".run.json"),
        made_files=ancient(told("models", "carded")),
    output:
        "cards/{name}.md",
    log:
        "logs/make_card/{name}.log",
    wildcard_constraints:
        name=plan.named("models"),
    localrule: True
    conda:
        here
    params:
        described=described("models"),
        script=f"{plan.root}/scripts/make_card.py",
    shell:
        "exec python {params.script} cards/{wildcards.name}.md > {log} 2>&1"


rule publish_model:
    """Push a model with its card and records, and the rows that go with it, to the hub."""
    input:
        card="cards/{name}.md",
        made=told("models", "sends", ".json"),
        runs=told("models", "sends", ".run.json"),
        made_files=ancient(told("models", "sends")),
    output:
        record="published/{name}.json",
        folder=directory("published/{name}"),
    log:
        "logs/publish_model/{name}.log",
    wildcard_constraints:
        name=plan.publications(),
    localrule: True
    conda:
        here
    params:
        described=described("models"),
        script=f"{plan.root}/scripts/publish_model.py",
    shell:
        "exec python {params.script} published/{wildcards.name} > {log} 2>&1"
