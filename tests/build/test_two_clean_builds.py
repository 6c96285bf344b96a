"""Two builds from nothing are equal to the byte, wherever they are made."""

from pathlib import Path

from conftest import DPO, Project, checkout

PARTS = ("data", "preferences", "tokenizers", "tokens", "models")


def made(project: Project) -> dict[str, bytes]:
    """What a build made, by its path: the artifacts' files and the manifests, less the run records."""
    found = {}
    for part in PARTS:
        for link in project.path(part).iterdir():
            files = [link, *link.rglob("*")] if not link.name.endswith(".run.json") else []
            found |= {str(file.relative_to(project.root)): file.read_bytes() for file in files if file.is_file()}
    return found


def test_two_clean_builds_are_equal_to_the_byte(micro_built, tmp_path):
    elsewhere = checkout(tmp_path / "another name" / "and deeper")
    elsewhere.make()
    one, two = made(micro_built), made(elsewhere)
    assert one.keys() == two.keys()
    assert {name for name in one if one[name] != two[name]} == set()
    endings = {Path(name).suffix for name in one}
    assert {".safetensors", ".parquet", ".arrow", ".json"} <= endings
    assert f"{DPO}/model.safetensors" in one
    assert f"{DPO}.json" in one


def test_a_run_record_tells_the_two_apart(micro_built):
    """What is left out above is there, beside the artifact: never in it, nor in its manifest."""
    record = micro_built.manifest(f"{DPO}.run")
    assert record["finished"]
    assert record["hardware"]["host"]
    assert not {"finished", "hardware", "versions"} & micro_built.manifest(DPO).keys()
