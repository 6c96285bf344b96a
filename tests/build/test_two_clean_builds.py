"""Two builds from nothing are equal to the byte, wherever they are made. test_chain.py does it with a longer build, and
kills on the way."""

from pathlib import Path

from conftest import DPO, checkout


def test_two_clean_builds_are_equal_to_the_byte(micro_built, tmp_path):
    elsewhere = checkout(tmp_path / "another name" / "and deeper")
    elsewhere.make()
    one, two = micro_built.made(), elsewhere.made()
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
