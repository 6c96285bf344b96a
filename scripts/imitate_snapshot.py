"""Make what a rehearsal has in place of a hub repository: a tiny model at random, its tokenizer, or made rows.

python -m posttrain.build hub/models--org--name
"""

from posttrain.build.job import open_job
from posttrain.data import imitation
from posttrain.files import digest


def main() -> None:
    with open_job(__doc__) as job:
        if job.recipe["kind"] == "datasets":
            imitation.dataset(job.out, *(job.recipe[name] for name in ("repo_id", "files", "subsets")))
            return
        tokenizer = imitation.tokenizer(job.recipe["tokenizer"])
        tokenizer.chat_template = job.texts.get("template")
        if job.recipe["kind"] == "tokenizers":
            tokenizer.save_pretrained(job.out)
            return
        from posttrain.train import models, saving  # torch, which rows and tokenizers do without

        seed = int(digest(job.recipe["repo_id"])[:8], 16)  # two bases of one architecture are two models
        saving.save(models.init(job.recipe["config"], tokenizer, seed), tokenizer, job)


if __name__ == "__main__":
    main()
