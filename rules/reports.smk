# Pages of models: reports/{name}.html shows what a model is worth and how it came to be. A view, made from manifests
# and run records; nothing is built from it.


rule make_report:
    """Show a model's lineage, figures, answers, curves, ledgers and digests on one page."""
    input:
        made=reported("models"),
        runs=reported_runs("models"),
        made_files=ancient(reported_folders("models")),
    output:
        "reports/{name}.html",
    log:
        "logs/make_report/{name}.log",
    wildcard_constraints:
        name=plan.named("models"),
    localrule: True
    conda:
        "../envs/train.yaml"
    params:
        made_of=reported("models"),
    shell:
        "exec python scripts/make_report.py reports/{wildcards.name}.html > {log} 2>&1"
