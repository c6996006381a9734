"""Of a page what a reader sees is kept, as Markdown."""

import random

import pytest

from apps.context import html, parsing

PAGE = """<!doctype html><html><head><title>Refund rules</title><style>p {}</style></head>
<body><nav>Home | About</nav><h1>Refunds</h1><p>Over&nbsp;$100 need
a <b>second</b> pair of eyes.</p><ul><li>one<ul><li>inner</li></ul></li><li>two</li></ul>
<pre>def f():
    return 1</pre><table><tr><td>a</td><td>b</td></tr></table>
<script>alert(1)</script></body></html>"""


def test_a_page_becomes_markdown() -> None:
    text = html.to_markdown(PAGE)
    assert text.startswith("# Refunds\n\nOver $100 need a second pair of eyes.")
    assert "- one\n  - inner\n- two" in text
    assert "```\ndef f():\n    return 1\n```" in text
    assert "| a | b" in text
    assert "alert" not in text
    assert "Home" not in text


def test_the_title_stands_in_for_a_missing_heading() -> None:
    assert html.to_markdown("<title>T</title><p>x</p>") == "# T\n\nx"


@pytest.mark.parametrize("seed", range(20))
def test_broken_markup_never_fails(seed: int) -> None:
    rng = random.Random(seed)
    pieces = [
        "<",
        ">",
        "</",
        "<p",
        "<!--",
        "&#x",
        "&amp",
        "<pre>",
        "</pre>",
        "<li>",
        "x",
        '"',
        "\n",
    ]
    html.to_markdown("".join(rng.choices(pieces, k=300)))


def test_a_file_is_told_by_its_ending() -> None:
    assert parsing.parse(name="a.html", data=PAGE.encode()).text.startswith("# Refunds")
    assert parsing.parse(name="a.txt", data=b"<p>x</p>").text == "<p>x</p>"
