"""Shards of completions put together: every prompt once, whatever their number, or a refusal that names the shard."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from posttrain.data import ledger, rows
from posttrain.data.ledger import Ledger
from posttrain.files import Refusal
from posttrain.sample import gather
from posttrain.sample.blocks import blocks, share

N, BLOCK_SIZE = 2, 4


def answer(prompt: int, sample: int) -> dict:
    turns = [{"role": "user", "content": f"prompt {prompt}"}]
    said = {
        "completion": f"answer {prompt} {sample}" * (prompt % 3),
        "tokens": sample + 1,
        "finished": bool(prompt % 2),
    }
    return {"prompt_id": prompt, "sample": sample, "prompt": turns, "reference": None if prompt % 5 else "a"} | said


def shards(folder: Path, prompts: int, of: int, lost: set[int], n: int = N, block_size: int = BLOCK_SIZE) -> list[Path]:
    """What jobs leave of so many prompts, some of which had no room."""
    made = []
    for number in range(of):
        made.append(folder / f"{number}")
        made[-1].mkdir(parents=True)
        kept, said = [], Ledger("prompts")
        for prompt in [prompt for cut in share(blocks(prompts, n, block_size), number, of) for prompt in cut]:
            said.read += 1
            if prompt in lost:
                said.drop("no room behind the prompt", [{"content": f"prompt {prompt}"}])
            else:
                kept += [answer(prompt, sample) for sample in range(n)]
        rows.write(kept, rows.COMPLETIONS, made[-1] / "completions.parquet")
        ledger.write(made[-1], [said])
    return made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.integers(1, 40), of=st.integers(1, 9), n=st.integers(1, 5), block_size=st.integers(2, 12), data=st.data()
)
def test_any_number_of_shards_makes_the_same_bytes_and_loses_no_prompt(
    tmp_path_factory, prompts, of, n, block_size, data
):
    lost = data.draw(st.sets(st.integers(0, prompts - 1)))
    folder = tmp_path_factory.mktemp("shards")
    whole, said = gather.gathered(shards(folder / "one", prompts, 1, lost, n, block_size), prompts, n, block_size)
    parts, told = gather.gathered(shards(folder / "some", prompts, of, lost, n, block_size), prompts, n, block_size)
    answered = [(prompt, sample) for prompt in range(prompts) if prompt not in lost for sample in range(n)]
    assert list(zip(parts["prompt_id"].to_pylist(), parts["sample"].to_pylist(), strict=True)) == answered
    assert told.as_dict() == said.as_dict()
    assert (told.read, told.kept) == (prompts, prompts - len(lost))
    gather.write(whole, folder / "whole.parquet")
    gather.write(parts, folder / "parts.parquet")
    assert (folder / "whole.parquet").read_bytes() == (folder / "parts.parquet").read_bytes()


def test_many_rows_make_the_same_bytes_in_any_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(gather, "ROW_GROUP", 7)
    table = pa.Table.from_pylist([answer(prompt, 0) for prompt in range(50)], rows.COMPLETIONS)
    gather.write(table, tmp_path / "whole.parquet")
    gather.write(
        pa.concat_tables([table.slice(0, 3), table.slice(3, 30), table.slice(33)]), tmp_path / "pieces.parquet"
    )
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "pieces.parquet").read_bytes()
    assert rows.read(tmp_path / "pieces.parquet") == table.to_pylist()


WRONG = {
    "a prompt that is missing": (lambda made: made[N:], "1 of its 4 prompts have no answer (4 is the first)"),
    "a prompt of another shard": (
        lambda made: [*[answer(0, i) for i in range(N)], *made[N:]],
        "answers prompt 0, which is not its own",
    ),
    "a prompt that is there twice": (lambda made: made[:N] + made, "has not 2 samples of each prompt, in order"),
    "a sample that is missing": (lambda made: made[1:], "has not 2 samples of each prompt, in order"),
    "a sample that is there twice": (lambda made: [made[0], made[0], *made[2:]], "has not 2 samples of each prompt"),
    "prompts in another order": (lambda made: made[::-1], "has not 2 samples of each prompt, in order"),
}


@pytest.mark.parametrize(("change", "says"), WRONG.values(), ids=WRONG)
def test_a_shard_that_is_not_whole_is_refused_by_name(tmp_path, change, says):
    """Eight prompts in two shards; the second has 4 to 7."""
    made = shards(tmp_path, 8, 2, set())
    path = made[1] / "completions.parquet"
    rows.write(change(rows.read(path)), rows.COMPLETIONS, path)
    with pytest.raises(Refusal) as refused:
        gather.gathered(made, 8, N, BLOCK_SIZE)
    assert str(refused.value).startswith(f"{made[1]}: {says}")
    assert str(refused.value).endswith("delete the folder and run again")


def test_a_shard_without_the_prompt_column_is_refused(tmp_path):
    made = shards(tmp_path, 8, 2, set())
    path = made[0] / "completions.parquet"
    parquet.write_table(parquet.read_table(path).drop_columns(["prompt"]), path)
    with pytest.raises(Refusal, match="has no column 'prompt'"):
        gather.gathered(made, 8, N, BLOCK_SIZE)
