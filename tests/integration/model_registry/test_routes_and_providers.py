"""Providers, models and routes: who may set them, what is stored, and what a restart may change."""

import json
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection

from apps.accounts import services as accounts
from apps.accounts.types import Role
from apps.governance.services import decisions
from apps.governance.types import Action, ResourceKind
from apps.model_registry import selectors, services
from apps.model_registry.types import FoundModel, ModelKind, Price, ProviderKind, Tier
from octavo.kernel import ids
from octavo.kernel.errors import Conflict, Forbidden, InvalidInput, NotFound
from octavo.kernel.scope import Principal, PrincipalKind

KEY = "sk-registry-secret-0123456789"


@pytest.fixture
def scope(installation: Any) -> Any:
    return installation.scope


def found(provider: str = "builtin", name: str = "starter", api_key: str = "") -> FoundModel:
    is_builtin = provider == "builtin"
    return FoundModel(
        source="test",
        provider=provider,
        kind=ProviderKind.BUILTIN if is_builtin else ProviderKind.OPENAI,
        base_url="http://127.0.0.1:8001/v1" if is_builtin else "https://api.openai.com/v1",
        name=name,
        tier=Tier.STARTER if is_builtin else Tier.STANDARD,
        api_key=api_key,
    )


def stored_keys() -> dict[str, str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, api_key FROM provider")
        return dict(cursor.fetchall())


def test_a_key_is_sealed_to_its_row_and_opened_only_for_a_call(scope: Any) -> None:
    one = services.create_provider(scope=scope, name="one", kind=ProviderKind.OPENAI, api_key=KEY)
    two = services.create_provider(scope=scope, name="two", kind=ProviderKind.OPENAI)
    assert (one.has_api_key, two.has_api_key) == (True, False)
    sealed = stored_keys()
    assert KEY not in sealed["one"]
    assert selectors.get_credentials(provider_ids=[two.id, one.id]) == ("", KEY)
    assert KEY not in repr(selectors.get_credentials(provider_ids=[one.id]))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE provider SET api_key = %s WHERE name = 'two'", [sealed["one"]])
    with pytest.raises(ValueError, match="does not belong to this row"):
        selectors.get_credentials(provider_ids=[two.id])


def test_the_key_reaches_neither_audit_nor_view(scope: Any) -> None:
    view = services.create_provider(scope=scope, name="one", kind=ProviderKind.OPENAI, api_key=KEY)
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(a)::text FROM audit_entry a")
        entries = [text for (text,) in cursor.fetchall()]
    assert any("provider.created" in entry for entry in entries)
    assert KEY not in "".join(entries) + repr(view)


def test_only_who_may_manage_models_changes_the_registry(scope: Any) -> None:
    member = accounts.create_service(scope=scope, name="ci", role=Role.MEMBER)
    outsider = scope.acting_as(member)
    with pytest.raises(Forbidden):
        services.create_provider(scope=outsider, name="mine", kind=ProviderKind.OPENAI)
    with pytest.raises(Forbidden):
        services.set_route(scope=outsider, name="r", kind=ModelKind.CHAT, targets=[("openai", "x")])
    assert selectors.list_providers(scope=scope) == []


def test_a_second_provider_of_the_same_name_is_a_conflict(scope: Any) -> None:
    services.create_provider(scope=scope, name="one", kind=ProviderKind.OPENAI)
    with pytest.raises(Conflict, match="already a provider 'one'"):
        services.create_provider(scope=scope, name="one", kind=ProviderKind.GOOGLE)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "ftp://host/v1",
        "host/v1",
        "https://user:pass@host/v1",
        "https://host/v1?key=1",
        "http://169.254.169.254/v1",
        "http://[fe80::1]/v1",
        "http://[::ffff:169.254.169.254]/v1",
        "http://[fd00:ec2::254]/v1",
        "http://[64:ff9b::a9fe:a9fe]/v1",
        "http://[2002:a9fe:a9fe::1]/v1",
        "http://100.100.100.200/v1",
        "http://[x",
        "http://host:99999/v1",
        "http://host:0/v1",
        "http://host:port/v1",
        "https://host/v1#part",
        "https://host/v1?",
        "https://ho\nst/v1",
        "https://host/\0",
    ],
)
def test_an_address_that_cannot_be_a_model_server_is_refused(scope: Any, base_url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        services.create_provider(
            scope=scope, name="bad", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=base_url
        )
    assert caught.value.errors[0]["path"] == "/base_url"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://gpu.internal:8000", "http://gpu.internal:8000/v1"),
        ("http://gpu.internal:8000/v1/", "http://gpu.internal:8000/v1"),
        ("https://host/openai/v2", "https://host/openai/v2"),
    ],
)
def test_an_address_gets_the_protocols_version_when_it_has_no_path(
    scope: Any, given: str, kept: str
) -> None:
    view = services.create_provider(scope=scope, name="gpu", kind=ProviderKind.VLLM, base_url=given)
    assert view.base_url == kept


def test_a_known_hosted_model_has_its_price_and_window_and_a_local_one_is_free(scope: Any) -> None:
    services.create_provider(scope=scope, name="openai", kind=ProviderKind.OPENAI)
    services.create_provider(
        scope=scope, name="gpu", kind=ProviderKind.VLLM, base_url="http://gpu:8000"
    )
    hosted = services.add_model(
        scope=scope, provider="openai", name="gpt-4o-mini", kind=ModelKind.CHAT
    )
    local = services.add_model(scope=scope, provider="gpu", name="mine", kind=ModelKind.CHAT)
    assert (hosted.price.input, hosted.price.output) == (Decimal("0.15"), Decimal("0.6"))
    assert (hosted.context_window, hosted.native_tools) == (128_000, True)
    assert (local.price.input, local.price.output, local.tier) == (0, 0, Tier.STANDARD)


def test_changing_a_model_keeps_what_is_not_mentioned(scope: Any) -> None:
    services.create_provider(scope=scope, name="a", kind=ProviderKind.OLLAMA)
    price = Price(input=Decimal(1), output=Decimal(2))
    services.add_model(
        scope=scope, provider="a", name="m", kind=ModelKind.CHAT, price=price, native_tools=False
    )
    changed = services.add_model(
        scope=scope, provider="a", name="m", kind=ModelKind.CHAT, context_window=4096
    )
    assert (changed.price, changed.native_tools, changed.context_window) == (price, False, 4096)


def entries() -> list[tuple[str, str, dict[str, Any]]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT action, target, payload::text FROM audit_entry ORDER BY seq")
        return [(action, target, json.loads(data)) for action, target, data in cursor.fetchall()]


def test_the_audit_shows_what_a_price_was_and_became(scope: Any) -> None:
    services.create_provider(scope=scope, name="a", kind=ProviderKind.OLLAMA)
    for price in (Price(input=Decimal(1), output=Decimal(2)), Price(input=Decimal(3))):
        services.add_model(scope=scope, provider="a", name="m", kind=ModelKind.CHAT, price=price)
    (_, _, added), (action, target, changed) = entries()[-2:]
    assert (added["input_price"], added["output_price"]) == ("1", "2")
    assert (action, target) == ("model.changed", "a/m")
    assert {column: Decimal(c["from"]) for column, c in changed["changes"].items()} == {
        "input_price": 1,
        "output_price": 2,
    }
    assert {column: Decimal(c["to"]) for column, c in changed["changes"].items()} == {
        "input_price": 3,
        "output_price": 0,
    }


def test_models_that_a_route_registers_are_audited_and_gone_if_it_cannot_be_set(
    scope: Any,
) -> None:
    services.create_provider(scope=scope, name="a", kind=ProviderKind.OLLAMA)
    with pytest.raises(NotFound):
        services.set_route(
            scope=scope, name="r", kind=ModelKind.CHAT, targets=[("a", "one"), ("nope", "x")]
        )
    assert selectors.list_models(scope=scope) == []
    services.set_route(scope=scope, name="r", kind=ModelKind.CHAT, targets=[("a", "one")])
    assert [entry[:2] for entry in entries()[-2:]] == [("model.added", "a/one"), ("route.set", "r")]


def test_who_has_no_role_sees_nothing_of_the_registry_and_providers_are_for_who_manages_them(
    scope: Any,
) -> None:
    services.ensure_default_routes(scope=scope, found=found())
    stranger = scope.acting_as(Principal(kind=PrincipalKind.USER, id=ids.new(), name="stranger"))
    member = scope.acting_as(accounts.create_service(scope=scope, name="ci", role=Role.MEMBER))
    for read in (selectors.list_providers, selectors.list_models, selectors.list_routes):
        with pytest.raises(Forbidden):
            read(scope=stranger)
    for asker, name in ((stranger, "default"), (stranger, "nope")):
        with pytest.raises(Forbidden):
            selectors.get_visible_route(scope=asker, name=name)
    with pytest.raises(Forbidden):
        selectors.list_providers(scope=member)
    assert len(selectors.list_models(scope=member)) == 2
    assert len(selectors.list_routes(scope=member)) == 2
    assert selectors.get_visible_route(scope=member, name="default").name == "default"


def test_a_route_keeps_the_order_of_its_targets_and_registers_their_models(scope: Any) -> None:
    services.create_provider(scope=scope, name="a", kind=ProviderKind.OLLAMA)
    services.create_provider(scope=scope, name="b", kind=ProviderKind.OLLAMA)
    targets = [("b", "two"), ("a", "one"), ("b", "one")]
    view = services.set_route(scope=scope, name="fast", kind=ModelKind.CHAT, targets=targets)
    assert [(t.model.provider, t.model.name) for t in view.targets] == targets
    again = services.set_route(scope=scope, name="fast", kind=ModelKind.CHAT, targets=targets[1:])
    assert again.id == view.id
    assert [(t.model.provider, t.model.name) for t in again.targets] == targets[1:]


def test_a_route_needs_known_providers_different_targets_and_models_of_its_kind(
    scope: Any,
) -> None:
    services.create_provider(scope=scope, name="a", kind=ProviderKind.OLLAMA)
    services.add_model(scope=scope, provider="a", name="vectors", kind=ModelKind.EMBEDDING)
    with pytest.raises(NotFound, match="no provider 'nope'"):
        services.set_route(scope=scope, name="r", kind=ModelKind.CHAT, targets=[("nope", "x")])
    for targets in ([], [("a", "x"), ("a", "x")], [("a", "vectors")]):
        with pytest.raises(InvalidInput) as caught:
            services.set_route(scope=scope, name="r", kind=ModelKind.CHAT, targets=targets)
        assert caught.value.errors[0]["path"] == "/targets"
    assert selectors.list_routes(scope=scope) == []


def test_the_first_start_points_default_at_what_was_found_and_embedding_at_the_built_in(
    scope: Any,
) -> None:
    services.ensure_default_routes(scope=scope, found=found())
    default, embedding = selectors.list_routes(scope=scope)
    assert (default.name, default.tier, default.targets[0].model.name) == (
        "default",
        Tier.STARTER,
        "starter",
    )
    assert (embedding.name, embedding.targets[0].model.dimensions) == ("embedding", 384)


def test_a_restart_changes_nothing_unless_the_environment_did(scope: Any) -> None:
    services.ensure_default_routes(scope=scope, found=found())
    before = audited()
    services.ensure_default_routes(scope=scope, found=found())
    assert audited() == before
    default = services.ensure_default_routes(
        scope=scope, found=found("openai", "gpt-4o-mini", "sk-1")
    )
    assert (default.targets[0].model.provider, default.tier) == ("openai", Tier.STANDARD)
    services.ensure_default_routes(scope=scope, found=found("openai", "gpt-4o-mini", "sk-2"))
    provider_id = default.targets[0].provider_id
    assert selectors.get_credentials(provider_ids=[provider_id]) == ("sk-2",)


def test_a_restart_never_changes_what_a_person_set(scope: Any) -> None:
    services.ensure_default_routes(scope=scope, found=found())
    services.create_provider(
        scope=scope, name="openai", kind=ProviderKind.OPENAI, api_key="sk-person"
    )
    mine = [("openai", "gpt-4o")]
    services.set_route(scope=scope, name="default", kind=ModelKind.CHAT, targets=mine)
    kept = services.ensure_default_routes(
        scope=scope, found=found("openai", "gpt-4o-mini", "sk-environment")
    )
    assert kept.targets[0].model.name == "gpt-4o"
    credentials = selectors.get_credentials(provider_ids=[kept.targets[0].provider_id])
    assert credentials == ("sk-person",)


def audited() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_entry")
        return int(cursor.fetchone()[0])


def test_governance_lists_the_routes_that_a_principal_may_call(scope: Any) -> None:
    view = services.ensure_default_routes(scope=scope, found=found())
    allowed = decisions.allowed_ids(scope=scope, action=Action.MODEL_CALL, kind=ResourceKind.ROUTE)
    assert view.id in allowed
    assert len(allowed) == 2


def test_another_organisation_sees_nothing(scope: Any) -> None:
    from dataclasses import replace

    services.ensure_default_routes(scope=scope, found=found())
    other = replace(scope, organisation_id=ids.new(), project_id=ids.new())
    assert selectors.list_providers(scope=other) == []
    assert selectors.list_models(scope=other) == []
    assert selectors.list_routes(scope=other) == []
    with pytest.raises(NotFound, match="no routes yet"):
        selectors.get_route(scope=other, name="default")
