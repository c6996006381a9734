"""Entries of readable spaces as resources."""

from typing import Any

import pytest

from tests.conformance.mcp.behaviours import behaviour
from tests.integration.mcp.conftest import ERAS, Endpoint


@pytest.fixture
def entries(admin: Any, embedding: None) -> None:
    from apps.context.services import spaces, writing

    for name in ("plans", "a.b"):
        spaces.create_space(scope=admin, name=name)
    for space, key in (("plans", "deep/one.md"), ("plans", "two.txt"), ("a.b", "ü.json")):
        writing.write_entry(
            scope=admin,
            space=space,
            key=key,
            content=f"Text of {key}.",
            why="test",
        )


@behaviour("resources.read")
@pytest.mark.parametrize("era", ERAS)
def test_entries_are_listed_and_read(mcp: Endpoint, entries: None, era: str) -> None:
    listed = mcp.talk(lambda client: client.list_resources(), era)
    assert [str(resource.uri) for resource in listed.resources] == [
        "octavo://spaces/a.b/entries/%C3%BC.json",
        "octavo://spaces/plans/entries/two.txt",
        "octavo://spaces/plans/entries/deep/one.md",
    ]
    for resource, text in zip(listed.resources, ("ü.json", "two.txt", "deep/one.md"), strict=True):
        read = mcp.talk(lambda client, uri=resource.uri: client.read_resource(str(uri)), era)
        (content,) = read.contents
        assert content.text == f"Text of {text}."
        assert content.mime_type == resource.mime_type
    assert content.mime_type == "text/markdown"
    assert content.meta["octavo/revision"] == 1


@behaviour("resources.list.pages")
def test_the_list_of_resources_comes_in_pages(
    mcp: Endpoint, entries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.api.mcp import resources

    monkeypatch.setattr(resources, "_PAGE", 1)

    async def read(client: Any) -> list[str]:
        page = await client.list_resources()
        found = list(page.resources)
        while page.next_cursor:
            page = await client.list_resources(cursor=page.next_cursor)
            found += page.resources
        return [resource.title for resource in found]

    assert mcp.talk(read) == ["ü.json", "two.txt", "deep/one.md"]
    assert mcp.ask("resources/list", cursor="no cursor")["error"]["code"] == -32602


@behaviour("resources.templates")
def test_the_shape_of_addresses_is_told(mcp: Endpoint) -> None:
    listed = mcp.talk(lambda client: client.list_resource_templates())
    (template,) = listed.resource_templates
    assert template.uri_template == "octavo://spaces/{space}/entries/{+key}"


@behaviour("resources.errors.unknown")
@pytest.mark.parametrize(
    "uri",
    ["octavo://spaces/plans/entries/none", "octavo://spaces/none/entries/x", "file:///etc/passwd"],
)
def test_what_may_not_be_read_does_not_exist(mcp: Endpoint, entries: None, uri: str) -> None:
    error = mcp.ask("resources/read", uri=uri)["error"]
    assert (error["code"], error["data"]) == (-32602, {"uri": uri})


def test_a_key_without_context_reads_no_resource(
    mcp: Endpoint, entries: None, new_key: Any
) -> None:
    key = new_key("tool.call")
    listed = mcp.talk(lambda client: client.list_resources(), key=key)
    assert listed.resources == []
