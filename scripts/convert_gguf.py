"""Dequantise the weights of a GGUF file to an ordinary checkpoint, with the tokenizer that the file describes.

python -m posttrain.build models/smollm2-wheel
"""

from pathlib import Path

from posttrain.build.job import open_job
from posttrain.files import Refusal
from posttrain.train import gguf, saving
from posttrain.words import did_you_mean


def found(folder: Path, file: str) -> Path:
    """The file's place in the unpacked wheel."""
    if not (folder / file).is_file():
        there = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*.gguf"))]
        raise Refusal(f"file: {folder} has no {file}. {did_you_mean(file, there)}")
    return folder / file


def main() -> None:
    with open_job(__doc__) as job:
        file = found(job.inputs["wheel"], job.recipe["file"])
        try:
            tokenizer = gguf.open_tokenizer(file)
            model = gguf.open_model(file, tokenizer, job.recipe["dtype"])
        except ValueError as error:  # transformers', of an architecture or a vocabulary that it does not read
            raise Refusal(f"{file.name}: {error}") from None
        saving.save(model, tokenizer, job)


if __name__ == "__main__":
    main()
