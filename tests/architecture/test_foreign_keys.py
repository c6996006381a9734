"""Rows point to their own layer or a lower one; what points upward is a plain UUID."""

import ast
from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from django.apps import apps
from django.conf import settings

from tests.architecture.source import calls, name_of, python_files, tree_of

RELATIONS = {"ForeignKey", "OneToOneField", "ManyToManyField"}
ORDER = [name.rpartition(".")[2] for name in settings.INSTALLED_APPS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A foreign key: the labels of the apps it leads from and to, and its name for messages."""

    name: str
    source: str
    target: str


def references() -> list[Reference]:
    return [
        Reference(
            name=f"{model._meta.label}.{field.name}",
            source=model._meta.app_label,
            target=field.related_model._meta.app_label,
        )
        for model in apps.get_models()
        if model.__module__.startswith(("apps.", "octavo."))
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many)
        if field.related_model is not None
    ]


def upward(found: Iterable[Reference]) -> list[str]:
    return sorted(r.name for r in found if ORDER.index(r.target) < ORDER.index(r.source))


def foreign_classes(tree: ast.Module) -> list[str]:
    """Relations to a class that the module does not define: an import where a label belongs."""
    own = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    targets = [
        keyword.value if keyword else call.args[0]
        for name, call in calls(tree)
        if name.rpartition(".")[2] in RELATIONS
        for keyword in [next((k for k in call.keywords if k.arg == "to"), None)]
    ]
    named = [target for target in targets if not isinstance(target, ast.Constant)]
    return [text for target in named if (text := ast.unparse(target)) not in own]


def test_no_foreign_key_points_to_an_upper_layer() -> None:
    assert upward(references()) == []


def test_an_upward_foreign_key_is_noticed() -> None:
    reference = Reference(name="governance.Approval.run", source="governance", target="agents")
    assert upward([reference]) == ["governance.Approval.run"]


@pytest.mark.parametrize("label", ["accounts", "context", "governance", "orchestration"])
def test_the_layers_that_keep_rows_are_seen_by_this_test(label: str) -> None:
    assert list(apps.get_app_config(label).get_models())


def test_relations_to_other_modules_are_labels() -> None:
    found = {name_of(path): foreign_classes(tree_of(path)) for path in python_files()}
    allowed = {"settings.AUTH_USER_MODEL"}
    assert {name: bad for name, bad in found.items() if set(bad) - allowed} == {}


def test_a_relation_to_an_imported_class_is_noticed() -> None:
    source = (
        "class Entry: ...\n"
        "a = models.ForeignKey(Entry, models.CASCADE)\n"
        "b = models.ForeignKey(to='context.Entry')\n"
        "c = models.ForeignKey(Run, models.CASCADE)\n"
    )
    assert foreign_classes(ast.parse(source)) == ["Run"]
