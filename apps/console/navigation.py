"""Where things are: each group of the navigation lists its layers in the order of the stack."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One page of the navigation. `key` follows `g` on the keyboard; `layer` is an app's label."""

    name: str
    path: str
    key: str
    layer: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    name: str
    places: tuple[Place, ...]


GROUPS = (
    Group(
        name="Operate",
        places=(
            Place(name="Home", path="/", key="h"),
            Place(name="Runs", path="/runs", key="r", layer="orchestration"),
            Place(name="Queue", path="/queue", key="q", layer="orchestration"),
            Place(name="Triggers", path="/triggers", key="i", layer="orchestration"),
            Place(name="Approvals", path="/approvals", key="a", layer="governance"),
            Place(name="Costs", path="/costs", key="s", layer="governance"),
        ),
    ),
    Group(
        name="Build",
        places=(
            Place(name="Workflows", path="/workflows", key="w", layer="orchestration"),
            Place(name="Agents", path="/agents", key="e", layer="agents"),
            Place(name="Context", path="/context", key="c", layer="context"),
            Place(name="Tools", path="/tools", key="t", layer="tools"),
            Place(name="Models", path="/models", key="m", layer="model_registry"),
        ),
    ),
    Group(
        name="Access",
        places=(
            Place(name="Connect", path="/connect", key="n", layer="api"),
            Place(name="Keys", path="/keys", key="k", layer="accounts"),
            Place(name="Members", path="/members", key="p", layer="accounts"),
        ),
    ),
)


def find_current(path: str) -> str:
    """The path of the place that a page belongs to, "" for one that belongs to none."""
    places = [place.path for group in GROUPS for place in group.places]
    within = [p for p in places if path == p or (p != "/" and path.startswith(f"{p}/"))]
    return max(within, key=len, default="")
