"""The console follows the stack, and ships exactly the foreign files that its manifest names."""

import hashlib
import json

from apps.console import navigation
from tests.architecture.source import ROOT
from tests.architecture.test_layers import contract_layers

VENDOR = ROOT / "apps" / "console" / "static" / "console" / "vendor"


def test_each_group_of_the_navigation_follows_the_order_of_the_contract() -> None:
    order = [name.removeprefix("apps.") for name in contract_layers()]
    for group in navigation.GROUPS:
        layers = [order.index(place.layer) for place in group.places if place.layer]
        assert layers == sorted(layers), group.name


def test_every_page_has_a_key_of_its_own() -> None:
    keys = [place.key for group in navigation.GROUPS for place in group.places]
    assert len(keys) == len(set(keys))


def test_foreign_files_are_those_of_the_manifest_byte_for_byte() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text())
    found = {entry["file"]: entry["sha256"] for entry in manifest}
    files = {path.name: path for path in VENDOR.iterdir() if path.is_file()}
    assert found == {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in files.items()
        if name != "manifest.json"
    }
    for entry in manifest:
        assert entry["package"]
        assert entry["version"]
        assert entry["licence"]
        assert (VENDOR / entry["licence_file"]).read_text().strip()
