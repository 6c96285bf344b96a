# Pages: reports/{name}.html shows what a model is worth and how it came to be, or the models of a page of recipes side by
# side; reports/data/{name}.html and reports/preferences/{name}.html show rows. Views, made from what stands; nothing is
# built from them. `snakemake --report` puts them into one file.


rule make_report:
    """Show a model's lineage, figures, answers, curves, ledgers and digests on one page."""
    input:
        made=reported("models"),
        runs=reported_runs("models"),
        made_files=ancient(reported_folders("models")),
    output:
        report(
            "reports/{name}.html",
            caption="../workflow/report/model.rst",
            category="Models",
            labels={"model": "{name}"},
        ),
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


rule make_family_report:
    """Show the models of a page of recipes side by side."""
    input:
        made=reported("families"),
        runs=reported_runs("families"),
        made_files=ancient(reported_folders("families")),
    output:
        report(
            "reports/{name}.html",
            caption="../workflow/report/family.rst",
            category="Families",
            labels={"family": "{name}"},
        ),
    log:
        "logs/make_family_report/{name}.log",
    wildcard_constraints:
        name=plan.families_named(),
    localrule: True
    conda:
        here
    params:
        made_of=reported("families"),
        script=f"{plan.root}/scripts/make_report.py",
    shell:
        "exec python {params.script} reports/{wildcards.name}.html > {log} 2>&1"


rule make_data_report:
    """Show the rows of a set, their lengths and scores, and what was left out, on one page."""
    input:
        made=looked_at(),
        made_files=ancient(looked_at_folders()),
    output:
        report(
            "reports/{target}.html",
            caption="../workflow/report/rows.rst",
            category="Rows",
            labels={"rows": "{target}"},
        ),
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
