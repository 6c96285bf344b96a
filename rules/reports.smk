# Pages: reports/{name}.html shows what a model is worth and how it came to be, reports/data/{name}.html and
# reports/preferences/{name}.html show rows. Views, made from what stands; nothing is built from them.


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
        here
    params:
        made_of=reported("models"),
        script=f"{plan.root}/scripts/make_report.py",
    shell:
        "exec python {params.script} reports/{wildcards.name}.html > {log} 2>&1"


rule make_data_report:
    """Show the rows of a set, their lengths and scores, and what was left out, on one page."""
    input:
        made=looked_at(),
        made_files=ancient(looked_at_folders()),
    output:
        "reports/{target}.html",
    log:
        "logs/make_data_report/{target}.log",
    wildcard_constraints:
        target=plan.rows(),
    localrule: True
    conda:
        here
    params:
        script=f"{plan.root}/scripts/make_report.py",
    shell:
        "exec python {params.script} reports/{wildcards.target}.html > {log} 2>&1"
