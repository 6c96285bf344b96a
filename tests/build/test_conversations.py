"""Conversations of several turns, what is taken from them, and texts to stop at."""

import json
import string
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from conftest import ROOT, SFT, Project, write_lines
from posttrain.data import dialogues, rows
from posttrain.data.rows import Unsound
from posttrain.evaluate.ratings import known_answers
from posttrain.files import Refusal
from posttrain.sample import conversations
from posttrain.sample.answers import half_of, last_answers, last_vs_first
from posttrain.sample.completions import complete
from posttrain.sample.engines.transformers import Engine, Stop
from posttrain.sample.prompts import Prompt, Room, fitting
from posttrain.sample.prompts import read as read_prompts

SAMPLING = {"n": 3, "temperature": 1, "top_k": 0, "top_p": 1, "max_new_tokens": 12, "seed": 1, "block_size": 16}
CRITICS = [{"who": name} for name in ("an owl", "a fox", "a hen", "a pig")]
REVISED = {
    "system": "Be brief.",
    "few_shot": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}],
    "follow_ups": ["{{ choice.who }} of {{ messages[-1].content }}: {{ answers[0] }}?", "After {{ answers[1] }}"],
    "choices": CRITICS,
}


class Echo:
    """An engine that answers with how much it was asked, and its key: any other draw or turn shows."""

    def __init__(self, cut: int | None = None) -> None:
        self.asked: list[list[dict]] = []
        self.cut = cut  # how many turns are asked before every answer is cut

    def answer(self, conversations: list[list[dict]], keys: list[int], sampling: dict) -> list[dict]:
        self.asked += conversations
        return [
            {"completion": f"{len(turns)} {key}", "tokens": 2, "finished": len(turns) != self.cut}
            for turns, key in zip(conversations, keys, strict=True)
        ]


def prompts(count: int) -> list[Prompt]:
    return [Prompt(i, [{"role": "user", "content": f"p{i}"}], None) for i in range(count)]


def roles(turns: list[dict]) -> str:
    return "".join(turn["role"][0] for turn in turns)


# Turns


def test_each_turn_is_asked_behind_all_before_it():
    engine = Echo()
    (row,) = complete(prompts(1), engine, SAMPLING | {"n": 1}, REVISED)
    assert [roles(turns) for turns in engine.asked] == ["suau", "suauau", "suauauau"]
    assert (
        engine.asked[-1]
        == [{"role": "system", "content": "Be brief."}, *REVISED["few_shot"], *row["prompt"]] + (row["turns"][:-1])
    )
    first, asked, second, again, third = (turn["content"] for turn in row["turns"])
    assert asked == f"{CRITICS[row['choice']]['who']} of p0: {first}?"
    assert again == f"After {second}"
    assert (row["completion"], row["tokens"], row["finished"]) == (third, 6, True)


def test_a_system_turn_stands_in_place_of_the_prompts_own():
    own, asked = {"role": "system", "content": "own"}, {"role": "user", "content": "a"}
    assert conversations.opening(REVISED, [own, asked])[0]["content"] == "Be brief."
    kept = conversations.opening(REVISED | {"system": None}, [own, asked])
    assert kept == [own, *REVISED["few_shot"], asked]


@given(st.integers(1, 12), st.integers(1, 4), st.sets(st.integers(1, 11)))
def test_however_prompts_are_split_the_rows_are_the_same(count, n, cuts):
    asked, sampling = prompts(count), SAMPLING | {"n": n}
    edges = [0, *sorted(cut for cut in cuts if cut < count), count]
    parts = [complete(asked[a:b], Echo(), sampling, REVISED) for a, b in zip(edges, edges[1:], strict=False)]
    whole = complete(asked, Echo(), sampling, REVISED)
    assert [row for part in parts for row in part] == whole
    answers = [turn["content"] for row in whole for turn in row["turns"] if turn["role"] == "assistant"]
    assert len(set(answers)) == 3 * n * count, "two draws have one key"


def test_a_choice_hangs_on_the_seed_and_the_numbers_and_falls_on_each():
    def choices(seed: int, conversation: dict = REVISED) -> list[int]:
        return [row["choice"] for row in complete(prompts(60), Echo(), SAMPLING | {"seed": seed}, conversation)]

    drawn = choices(1)
    assert drawn == choices(1, REVISED | {"few_shot": []}) != choices(2)
    assert all(30 <= drawn.count(i) <= 60 for i in range(4)), "45 of each are expected, give or take 6"
    assert len({tuple(drawn[i : i + 3]) for i in range(0, 180, 3)}) > 30, "samples of one prompt draw for themselves"


def test_the_first_answers_are_those_of_plain_completions(engine):
    follow_up = {"system": None, "few_shot": [], "follow_ups": ["{{ answers[0] }}"], "choices": []}
    sampling = SAMPLING | {"ends": True}
    plain = complete(prompts(4), engine, sampling)
    talked = complete(prompts(4), engine, sampling, follow_up)
    assert [row["turns"][0]["content"] for row in talked] == [row["completion"] for row in plain]
    assert [roles(row["turns"]) for row in talked] == ["aua"] * 12
    assert set(plain[0]) == set(rows.COMPLETIONS.names)
    assert set(talked[0]) == set(rows.CONVERSATIONS.names)


@pytest.mark.parametrize(
    ("cut", "room", "said", "why"),
    [
        (4, 99, "a", "an answer was cut at max_new_tokens"),
        (6, 99, "aua", "an answer was cut at max_new_tokens"),
        (None, 5, "au", "no room for an answer to a follow-up"),
        (None, 7, "auau", "no room for an answer to a follow-up"),
        (None, 8, "auaua", None),
    ],
)
def test_a_conversation_that_does_not_come_to_its_end_is_counted_and_not_taken(cut, room, said, why):
    made = complete(prompts(2), Echo(cut), SAMPLING, REVISED, lambda turns: len(turns) <= room)
    assert {roles(row["turns"]) for row in made} == {said}
    last = [turn["content"] for turn in made[0]["turns"] if turn["role"] == "assistant"][-1]
    assert made[0]["completion"] == last
    ledger = conversations.unfinished([row for row in made if not row["finished"]], len(made))
    assert {name: lost["count"] for name, lost in ledger.dropped.items()} == ({why: 6} if why else {})
    for choose in (last_answers, last_vs_first):
        taken, ledger = choose(made)
        assert (len(taken), ledger.read, ledger.kept) == ((0, 6, 0) if why else (6, 6, 6))


def test_a_prompts_own_questions_are_asked_word_for_word_and_go_on_behind_a_cut():
    asked = [Prompt(0, prompts(1)[0].turns, None, ("{{ no_template }}", "more")), *prompts(2)[1:]]
    sampling, each = SAMPLING | {"n": 1}, conversations.PLAIN | {"every_turn": True}
    first, second = complete(asked, Echo(cut=3), sampling, each)
    assert [turn["content"] for turn in first["turns"] if turn["role"] == "user"] == ["{{ no_template }}", "more"]
    assert (roles(first["turns"]), first["finished"], first["tokens"]) == ("auaua", True, 6)
    assert (roles(second["turns"]), second["finished"]) == ("a", True)
    narrow = complete(asked[:1], Echo(), sampling, each, lambda turns: len(turns) < 4)
    assert (roles(narrow[0]["turns"]), narrow[0]["finished"]) == ("auau", False)


def turns(said: str) -> list[dict]:
    """A turn a letter: of the system, the user, the assistant or a tool."""
    names = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    return [{"role": names[role], "content": f"{role}{i}"} for i, role in enumerate(said)]


@pytest.mark.parametrize(
    ("said", "first", "later", "reference", "known"),
    [
        ("uaua", "u", ("u2",), "a3", ["a1", "a3"]),
        ("suu", "su", ("u2",), None, [None, None]),
        ("auau", "au", ("u3",), None, ["a2", None]),
        ("u", "u", (), None, [None]),
    ],
)
def test_of_a_row_each_of_the_users_turns_is_asked(tmp_path, said, first, later, reference, known):
    rows.write([{"messages": turns(said)}], rows.MESSAGES, tmp_path / "train.parquet")
    (prompt,) = read_prompts(tmp_path / "train.parquet", every_turn=True)
    assert (roles(prompt.turns), prompt.later, prompt.reference) == (first, later, reference)
    assert known_answers(turns(said)) == known


@pytest.mark.parametrize(
    ("said", "why"),
    [("utu", "row 1: a turn of the tool stands behind the first question"), ("sa", "row 1: nobody asks anything")],
)
def test_what_nobody_asked_is_no_turn_to_answer(tmp_path, said, why):
    rows.write([{"messages": turns(said)}], rows.MESSAGES, tmp_path / "train.parquet")
    with pytest.raises(Refusal, match=why):
        read_prompts(tmp_path / "train.parquet", every_turn=True)


def test_a_follow_up_that_fails_on_an_answer_is_refused_with_the_prompt():
    fragile = REVISED | {"follow_ups": ["{{ answers[0].split()[9] }}"]}
    with pytest.raises(Refusal, match=r"^conversation\.follow_ups: '.*': prompt 0, sample 0: list object has no "):
        complete(prompts(1), Echo(), SAMPLING, fragile)


def test_a_template_that_takes_no_system_turn_is_a_refusal(tmp_path, micro_built):
    tokenizer = AutoTokenizer.from_pretrained(micro_built.path(SFT))
    tokenizer.chat_template = (ROOT / "config/templates/mistral-instruct.jinja").read_text()
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(micro_built.path(f"{SFT}/config.json").read_text())
    room = Room(tmp_path, 2)
    assert room.holds([{"role": "user", "content": "a"}])
    with pytest.raises(Refusal, match="its chat template takes no turns of system, user: a user and an assistant take"):
        room.holds([{"role": "system", "content": "a"}, {"role": "user", "content": "b"}])


def test_a_prompt_has_room_only_with_what_stands_before_it(micro_built):
    """The model has 64 places."""
    for system, kept in ((None, 1), ("a" * 40, 0)):
        asked = partial(conversations.opening, REVISED | {"system": system})
        _, ledger = fitting([prompts(1)], micro_built.path(SFT), 20, asked)
        assert ledger.kept == kept


# What is taken


def talk(number: int, first: str, last: str) -> dict:
    said = [{"role": "assistant", "content": first}, {"role": "user", "content": "?"}]
    turns = [*said, {"role": "assistant", "content": last}]
    prompt = [{"role": "user", "content": f"p{number}"}]
    return {"prompt_id": number, "prompt": prompt, "completion": last, "turns": turns, "finished": True}


@given(st.lists(st.tuples(st.sampled_from(["a", " a", "b", ""]), st.sampled_from(["a", "b ", "b", " "])), max_size=12))
def test_the_chosen_is_never_the_rejected_and_all_are_counted(said):
    talks = [talk(i, first, last) for i, (first, last) in enumerate(said)]
    pairs, ledger = last_vs_first(talks)
    for row in pairs:
        chosen, rejected = row["chosen"][0]["content"], row["rejected"][0]["content"]
        assert chosen.strip() and rejected.strip() and chosen.strip() != rejected.strip()
    assert (ledger.read, ledger.kept) == (len(said), len(pairs))
    answered, ledger = last_answers(talks)
    assert [row["messages"][-1]["content"] for row in answered] == [last for _, last in said if last.strip()]
    assert (ledger.read, ledger.kept) == (len(said), len(answered))


@given(st.sets(st.integers(0, 50)), st.integers(1, 3))
def test_the_halves_share_no_prompt_and_lose_none(numbers, n):
    talks = [talk(number, "a", "b") for number in sorted(numbers) for _ in range(n)]
    first, second = half_of(talks, "first"), half_of(talks, "second")
    assert first + second == half_of(talks, None) == talks
    asked = [{row["prompt_id"] for row in half} for half in (first, second)]
    assert not asked[0] & asked[1]
    assert len(asked[1]) - len(asked[0]) in (0, 1)


# Texts to stop at


@pytest.fixture(scope="module")
def engine(micro_built: Project) -> Engine:
    return Engine(micro_built.path(SFT), "cpu")


@pytest.mark.parametrize("stop", [["a"], ["l", "p"], ["Y", "no model says this"]])
def test_a_completion_is_cut_before_the_first_text_to_stop_at(engine, stop):
    """What comes before it is what comes without it, whatever stands beside it in the block."""
    sampling = SAMPLING | {"n": 8, "max_new_tokens": 30}
    free, stopped = (complete(prompts(4), engine, sampling | {"stop": said}) for said in ([], stop))
    cut = 0
    for before, row in zip(free, stopped, strict=True):
        if found := [before["completion"].index(text) for text in stop if text in before["completion"]]:
            cut += 1
            assert (row["completion"], row["finished"]) == (before["completion"][: min(found)], True)
        else:
            assert row == before
    assert 0 < cut < len(free)


def test_a_completion_is_as_long_as_what_was_generated_up_to_its_stop(engine):
    ids, end = engine.tokenizer.encode("an ant", add_special_tokens=False), engine.tokenizer.eos_token_id
    for after in ([], [end], [end, end], ids):
        assert engine.read(ids + after, ["nt", "x"]) == {"completion": "an a", "tokens": 6, "finished": True}
    assert engine.read([*ids, end], ["b"]) == {"completion": "an ant", "tokens": 7, "finished": True}
    assert engine.read([*ids[:2], end, *ids], ["t"])["completion"] == "an", "what comes after the end is not said"


def test_a_row_ends_at_its_stop_and_not_at_the_prompts(engine):
    said = [engine.tokenizer.encode(text, add_special_tokens=False) for text in ("ant an an", "antan ant")]
    assert Stop(engine.tokenizer, ["ant"], 3)(torch.tensor(said), None).tolist() == [False, True]


def test_generating_ends_when_all_rows_have(engine, monkeypatch):
    lengths, made = [], engine.model.generate

    def generate(**said: object) -> torch.Tensor:
        out = made(**said)
        lengths.append(out.shape[1] - said["input_ids"].shape[1])
        return out

    monkeypatch.setattr(engine.model, "generate", generate)
    complete(prompts(2), engine, SAMPLING | {"max_new_tokens": 50, "stop": list(string.printable)})
    assert lengths[0] < 50


# Dialogues


def test_a_dialogue_is_its_turns():
    said = "\n\nHuman: one\n\nstill one\n\nAssistant: two, Human: no\n\nHuman: three\n\nAssistant: four"
    made = dialogues.turns(said)
    assert [turn["content"] for turn in made] == ["one\n\nstill one", "two, Human: no", "three", "four"]
    assert dialogues.text(made) == said


@pytest.mark.parametrize("said", ["", "a", "Human: a", "\n\nHuman: a", "\n\nAssistant: a", "\n\nHuman: a\n\nHuman: b"])
def test_what_is_no_dialogue_is_left_out(said):
    with pytest.raises(Unsound, match="is no dialogue"):
        dialogues.turns(said)


def test_exchanges_end_where_the_user_speaks_once_more():
    turns = dialogues.turns("\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d")
    assert [roles(dialogues.first(n, {"messages": turns}, "")["messages"]) for n in (1, 2, 3)] == ["ua", "uaua", "uaua"]
    with pytest.raises(Unsound, match="do not end in an answer"):
        dialogues.first(1, {"messages": [turns[0], *turns]}, "")


# A chain of them

TALKS = "completions/talks"
STOP = list(string.ascii_letters + string.digits)  # of a model that says bytes at random, most answers come to one
SECTIONS = f"""\
completions:
  talks:
    model: micro-sft
    prompts: asked
    conversation:
      follow_ups: ["{{{{ choice.who }}}}?", "again"]
      choices: [{{who: owl}}, {{who: fox}}]
    sampling: {{n: 2, max_new_tokens: 12, block_size: 4, stop: {STOP}}}
    runtime: {{shards: 3}}
"""
DATA = """\
data:
  asked:
    sources:
      - {path: asked.jsonl, columns: {chosen: messages}, format: hh_rlhf, exchanges: 1}
    deduplicate: prompts
  revised: {completions: talks, select: last_answer, half: first}
"""
PREFERENCES = "preferences:\n  revised: {completions: talks, select: last_vs_first, half: second}\n"


def test_a_chain_from_dialogues_to_rows_and_pairs_of_two_halves(built):
    """The model has 64 places: the longest prompt leaves room for one answer, and no more."""
    words = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "an owl that sat in an oak and said no more")
    said = [{"chosen": f"\n\nHuman: {w}\n\nAssistant: {w} {w}\n\nHuman: more\n\nAssistant: no"} for w in words]
    write_lines(built.path("asked.jsonl"), [*said, said[0], {"chosen": "\n\nHuman: a\n\nAssistant:"}])
    built.edit("data:\n", DATA)
    built.edit("preferences:\n", PREFERENCES)
    built.add(SECTIONS)
    built.make("data/revised", "preferences/revised")

    (mixed,) = ledgers(built, "data/asked")
    assert lost(mixed) == {"has an empty turn": 1, "is there already, before it or in test": 1}
    asked = table(built, "data/asked")
    assert [[turn["content"] for turn in row["messages"]] for row in asked] == [[w, f"{w} {w}"] for w in words]

    talks = table(built, TALKS)
    assert [(row["prompt_id"], row["sample"]) for row in talks] == [(i, j) for i in range(8) for j in range(2)]
    answers = [turn["content"] for row in talks if row["finished"] for turn in row["turns"][::2]]
    assert answers and not any(letter in STOP for answer in answers for letter in answer)
    _, talked = ledgers(built, TALKS)
    assert (talked["read"], talked["kept"]) == (16, sum(row["finished"] for row in talks))
    assert lost(talked)["no room for an answer to a follow-up"] == 2

    first = {row["messages"][0]["content"] for row in table(built, "data/revised")}
    second = {row["prompt"][0]["content"] for row in table(built, "preferences/revised")}
    assert first and first <= set(words[:4]) and second and second <= set(words[4:])

    content = built.content(TALKS)
    built.edit("shards: 3", "shards: 1")
    built.forget(TALKS)
    built.make(TALKS)
    assert built.content(TALKS) == content


def table(project: Project, target: str) -> list[dict]:
    return rows.read(next(project.path(target).glob("*.parquet")))


def lost(ledger: dict) -> dict[str, int]:
    return {why: said["count"] for why, said in ledger["dropped"].items()}


def ledgers(project: Project, target: str) -> list[dict]:
    return json.loads(project.path(f"{target}/ledger.json").read_text())["entries"]
