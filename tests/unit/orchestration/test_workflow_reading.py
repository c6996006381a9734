"""Whatever is wrong with a definition is said at once, each thing exactly where it stands."""

import pytest

from apps.orchestration.types.workflows import WorkflowProblem
from apps.orchestration.workflows.checking import check_definition
from apps.orchestration.workflows.documents import Unreadable, read_document, write_document
from apps.orchestration.workflows.reading import read_definition


def problems(text: str) -> list[WorkflowProblem]:
    try:
        document = read_document(text)
    except Unreadable as error:
        return [error.problem]
    definition, found = read_definition(document)
    if definition is None:
        return found
    return check_definition(
        definition, document, find_tool=lambda name: None, has_route=lambda name: name == "default"
    )


def places(text: str) -> list[tuple[int, int]]:
    return [(problem.line, problem.column) for problem in problems(text)]


def model(node: str, prompt: str = "Go.") -> str:
    return f"  - {{id: {node}, kind: model, prompt: '{prompt}'}}\n"


def test_every_wrong_field_is_named_with_what_may_have_been_meant() -> None:
    text = """\
descripton: x
nodes:
  - id: a
    kind: modl
  - id: b
    kind: loop
    until: 1 == 1
    max_rounds: 0
    body: {nodes: []}
  - kind: model
edges:
  - {from: a, wen: x}
  - nonsense
"""
    found = {(p.line, p.column): p.detail for p in problems(text)}
    assert "Did you mean `description`?" in found[1, 1]
    assert "Did you mean `model`?" in found[4, 11]
    assert "minimum of 1" in found[8, 17]
    assert (9, 19) in found
    assert "`prompt` is missing." in found[10, 5]
    assert "Did you mean `when`?" in found[12, 15]
    assert found[13, 5] == "an edge is an object with `from` and `to`."


@pytest.mark.parametrize(
    ("edges", "said"),
    [
        ("[{from: a, to: c}]", "there is no node 'c' here"),
        ("[{from: a, to: b}, {from: b, to: a}]", "a → b → a"),
        ("[{from: a, to: a}]", "a → a"),
        ("[{from: a, to: b}, {from: a, to: b}]", "another edge leads"),
        ("[{from: a, to: b, when: 'true'}]", "only edges that leave a branch"),
    ],
)
def test_edges_that_make_no_order_are_refused(edges: str, said: str) -> None:
    (problem,) = problems(f"nodes:\n{model('a')}{model('b')}edges: {edges}\n")
    assert said in problem.detail
    assert problem.line == 4


def test_a_branch_has_one_way_out_when_nothing_holds() -> None:
    text = (
        f"nodes:\n  - {{id: a, kind: branch}}\n{model('b')}edges: [{{from: a, to: b, when: x}}]\n"
    )
    said = [problem.detail for problem in problems(text)]
    assert any("needs one edge with `otherwise: true`" in one for one in said)
    assert any("`x` is not known here" in one for one in said)


def test_a_join_that_no_run_could_meet_is_refused() -> None:
    text = "nodes:\n  - {id: a, kind: model, prompt: x}\n"
    text += "  - {id: b, kind: model, prompt: x, join: 2}\nedges: [{from: a, to: b}]\n"
    (problem,) = problems(text)
    assert (problem.line, problem.column) == (3, 43)
    assert "needs 2 of 1" in problem.detail


def test_expressions_are_found_wrong_inside_their_text() -> None:
    text = """\
nodes:
  - id: a
    kind: model
    prompt: "Say {{ input.x }} and {{ inptu.y }}"
  - id: b
    kind: model
    prompt: |
      One line.

      Then {{ nodes.a.text }} and {{ nodes.c.text }}.
  - id: c
    kind: model
    prompt: Never {{ closed
edges:
  - {from: a, to: b}
"""
    assert places(text) == [(4, 39), (10, 38), (13, 19)]


def test_a_condition_must_be_true_or_false_and_a_map_needs_a_list() -> None:
    text = """\
nodes:
  - id: m
    kind: map
    over: "'no list'"
    body: {nodes: [{id: x, kind: model, prompt: '{{ item }} {{ index + 1 }}'}]}
  - id: l
    kind: loop
    until: round + 1
    max_rounds: 2
    body: {nodes: [{id: y, kind: model, prompt: '{{ last.text }} {{ index }}'}]}
"""
    assert [problem.path for problem in problems(text)] == [
        "/nodes/0/over",
        "/nodes/1/until",
        "/nodes/1/body/nodes/0/prompt",
    ]


def test_ids_are_unique_bodies_included_and_no_words_of_cel() -> None:
    text = f"nodes:\n{model('a')}{model('in')}{model('B-1')}"
    text += "  - {id: m, kind: map, over: input, body: {nodes: [{id: a, kind: branch}]}}\n"
    said = [problem.detail for problem in problems(text)]
    assert "another node has the id 'a'; bodies count too." in said
    assert sum("cannot be an id" in one for one in said) == 2


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("nodes: [", (1, 9)),
        ("a: 1\na: 2", (2, 1)),
        ("nodes: &x [*x]", (1, 8)),
        ("nodes: !!python/object:os.system x", (1, 8)),
        ("limits: {max_nodes: .nan}", (1, 21)),
        ("", (1, 1)),
        ("? [1]\n: 2", (1, 3)),
        ("[" * 100_000, (1, 41)),
        ("- " * 100_000, (1, 81)),
        ("x: " + "{a: " * 60 + "1" + "}" * 60, (1, 160)),
    ],
)
def test_text_that_is_no_plain_data_is_refused(text: str, place: tuple[int, int]) -> None:
    (problem,) = problems(text)
    assert (problem.line, problem.column) == place


def test_a_definition_survives_being_written_and_read() -> None:
    data = {
        "nodes": [{"id": "a", "kind": "model", "prompt": "Two\nlines: {{ input }}\n"}],
        "edges": [],
        "output": {"on": "yes", "n": 1.5, "none": None, "text": "2020-01-01"},
    }
    text = write_document(data)
    assert read_document(text).data == data
    assert "|" in text
