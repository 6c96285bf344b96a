# The guide's pictures: docs/pictures/{picture}.svg, of what stands. docs/pictures.yaml says what each shows.


rule draw_picture:
    """Draw what trainings logged, what evaluations found, or what a model is made of."""
    input:
        made=pictured,
        made_files=ancient(pictured_folders),
    output:
        "docs/pictures/{picture}.svg",
    log:
        "logs/draw_picture/{picture}.log",
    localrule: True
    conda:
        here
    params:
        drawn_of=drawn_of,
        script=f"{plan.root}/scripts/draw_picture.py",
    shell:
        "exec python {params.script} {output} > {log} 2>&1"


rule draw_pictures:
    """Draw every picture of the guide."""
    input:
        every_picture,
    localrule: True
