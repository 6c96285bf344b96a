"""What a model is on the hub: what it is published as, what it began as there, and why it cannot be published."""

from collections.abc import Iterator
from pathlib import Path

from posttrain.plan.lineage import lineage
from posttrain.recipes import lock
from posttrain.recipes.catalogue import Catalogue, Named
from posttrain.recipes.publishing import REPO
from posttrain.words import did_you_mean

TERMS = ("license", "license_name", "license_link")
APART = 8  # characters of a digest that tell files of one name apart
BEGUN = ("base", "checkpoints", "wheel")  # the roles of what a model's weights began as, and `models.<n>` of a mean's


def settle(read: Catalogue, targets: dict[str, dict], rehearses: bool) -> dict[str, dict]:
    """What each publication says, with its licence, and why it is refused to who asks for it.

    Raises: Refusal, of what no build could publish.
    """
    refuse_strangers(read.published, targets)
    refuse_sharing(read.published)
    made = {name: entry.recipe.model_dump() for name, entry in read.published.items()}
    for name, entry in read.published.items():
        made[name]["license"] = entry.recipe.license or licence(targets, f"models/{name}")
        made[name]["refusal"] = next(refusals(entry, made[name], repos(made), targets, rehearses), "")
    return made


def outward(target: dict, digests: dict[str, str]) -> dict:
    """A target, or a record of one, for others to read: where a file outside the checkout lies is not told.

    Args:
        digests: those of the files that it reads, by role.
    """
    said = "identity" if "identity" in target else "names"
    files = {role: told(place, digests.get(role, "")) for role, place in target["files"].items()}
    called = {role: told(target[said][role], digests.get(role, "")) for role in files if role in target[said]}
    if "file" in target[said] and "file" not in target["own"]:  # of a verifier of one's own, whose text is told
        called["file"] = told(target[said]["file"], "")
    return target | {"files": files, said: target[said] | called}


def told(place: str, digest: str) -> str:
    """A file as others are told of it: in the checkout its path, else its last name, which others may have too."""
    path = Path(place)
    if not (path.is_absolute() or place.startswith("~") or ".." in path.parts):
        return place
    return f"{digest[:APART]}-{path.name}" if digest else path.name


def repos(published: dict[str, dict]) -> dict[str, str]:
    """The repository of each model that is to be published, by the model's name."""
    return {name: said["repo"] for name, said in published.items()}


def refuse_strangers(published: dict[str, Named], targets: dict[str, dict]) -> None:
    for name, entry in published.items():
        for key, path in ((), f"models/{name}"), *((("datasets", path), path) for path in entry.recipe.datasets):
            if path not in targets:
                kind = path.split("/")[0]
                known = [known for known in targets if known.startswith(f"{kind}/")]
                raise entry.refuse(key, f"there is no {path}. {did_you_mean(path, known)}")


def refuse_sharing(published: dict[str, Named]) -> None:
    """One repository holds one thing, on one set of terms."""
    taken: dict[tuple[str, str], tuple[str, dict, str]] = {}
    for name, entry in published.items():
        rows = [(("datasets", path), "datasets", said, path) for path, said in entry.recipe.datasets.items()]
        for key, kind, said, path in (((), "models", entry.recipe, f"models/{name}"), *rows):
            repo, terms = said.repo, {term: getattr(said, term) for term in TERMS} | {"private": entry.recipe.private}
            other, others, by = taken.setdefault((kind, repo), (path, terms, entry.path))
            if other != path:
                raise entry.refuse((*key, "repo"), f"{repo} is where {other} is published; name another")
            if differs := next((term for term in terms if terms[term] != others[term]), None):
                why = f"{repo} has another `{differs}` by {by}; say one of the two in both"
                raise entry.refuse((*key, "repo"), why)


def refusals(
    entry: Named, said: dict, named: dict[str, str], targets: dict[str, dict], rehearses: bool
) -> Iterator[str]:
    """Why a model cannot be published."""
    path = entry.path.replace("published/", "models/", 1)
    if rehearses:
        yield f"{entry.path}: nothing is published in a rehearsal; look at cards/{entry.path.split('/', 1)[1]}.md"
    if not said["license"]:
        why = "is missing, and what this model began as has no one licence in config/bases.yaml; say it"
        yield str(entry.refuse(("license",), why))
    for made in (path, *said["datasets"]):
        if unlocked := targets[made]["unlocked"]:
            why = f"{made} descends from {unlocked[0]}, which has no commit in config/lock.yaml; run `posttrain lock`"
            yield str(entry.refuse((), why))
    for made in said["datasets"]:
        for above in lineage(targets, made):
            if not targets[above].get("passed_on", True):
                why = (
                    f"is made of {targets[above]['own']['repo_id']}, which may not be passed on (config/datasets.yaml)"
                )
                yield str(entry.refuse(("datasets", made), why))
    if is_adapter(targets, path) and (why := adrift(targets, named, path)):
        yield str(entry.refuse((), why))


def adrift(targets: dict[str, dict], named: dict[str, str], path: str) -> str:
    """Why nobody could open an adapter from the hub; nothing if what it is of is there."""
    (base,) = begun_as(targets, path)
    name = base.split("/", 1)[1]
    if not hub_name(targets, named, base):
        return f"is an adapter of {base}, which is not published: publish that too, or a merge (`method: merge`)"
    if name in named and not Path(f"published/{name}.json").exists():
        return f"is an adapter of {base}, which is to be published first: `snakemake published/{name}`"
    return ""


def is_adapter(targets: dict[str, dict], path: str) -> bool:
    target = targets[path]
    return bool(targets[target["inputs"].get("checkpoints", path)]["own"].get("peft"))


def begun_as(targets: dict[str, dict], path: str) -> list[str]:
    """What a model's weights began as, or an adapter's stand beside: a model, of a mean several."""
    inputs = targets[path]["inputs"]
    if "base.weights" in inputs:
        return [inputs["base.weights"]]
    began = [made for role, made in inputs.items() if role in BEGUN or role.startswith("models.")]
    kept = [made for made in began if made.startswith("checkpoints/")]
    return [base for made in kept for base in begun_as(targets, made)] or began


def hub_name(targets: dict[str, dict], named: dict[str, str], path: str) -> str | None:
    """What a model is called on the hub; None of one that is not there."""
    kind, name = path.split("/", 1)
    if kind == "models" and name in named:
        return named[name]
    repo, _ = lock.parts(targets[path]["own"].get("repo_id", ""))
    return repo if REPO.fullmatch(repo) else None


def bases(targets: dict[str, dict], named: dict[str, str], path: str) -> list[str]:
    """The hub's names of what a model began as: of each line the nearest that has one."""
    found: dict[str, None] = {}
    for base in begun_as(targets, path):
        name = hub_name(targets, named, base)
        found |= dict.fromkeys([name] if name else bases(targets, named, base))
    return list(found)


def relation(targets: dict[str, dict], named: dict[str, str], path: str) -> str:
    """What a model is to its bases, in the hub's words; an adapter of what the hub has not is a tuning of its base."""
    if is_adapter(targets, path) and hub_name(targets, named, begun_as(targets, path)[0]):
        return "adapter"
    return "merge" if targets[path]["stage"] == "average_models" else "finetune"


def licence(targets: dict[str, dict], path: str) -> str | None:
    """The licence of all that a model began as; None if one's is not known, or if they are several."""
    found = set(licences(targets, path))
    return found.pop() if len(found) == 1 else None


def licences(targets: dict[str, dict], path: str) -> Iterator[str | None]:
    began = begun_as(targets, path)
    if not began:
        yield targets[path].get("licence")
    for base in began:
        yield from licences(targets, base)
