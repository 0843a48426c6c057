from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from soc.toml_lines import key_lines

EXAMPLE = '''
top = 1 # comment = 2
text = """
not.a = "key"
[neither]
"""
[a.b]
list = [
  { x = 1, y = [1, 2] },
  "], z = 3",
]
"quoted key" = 'a # b'
dotted.name = { inner = 1, deep = { er = 2 } }
[[many]]
k = 1
'''


def test_lines_of_every_form() -> None:
    """Tables, dotted keys, inline tables, arrays and multi-line strings all keep the count."""
    tomllib.loads(EXAMPLE)
    assert key_lines(EXAMPLE) == {
        "top": 2,
        "text": 3,
        "a": 7,
        "a.b": 7,
        "a.b.list": 8,
        "a.b.quoted key": 12,
        "a.b.dotted": 13,
        "a.b.dotted.name": 13,
        "a.b.dotted.name.inner": 13,
        "a.b.dotted.name.deep": 13,
        "a.b.dotted.name.deep.er": 13,
        "many": 14,
        "many.k": 15,
    }


@given(st.text(max_size=300))
def test_any_text_ends(text: str) -> None:
    """Whatever the text, there is an answer."""
    key_lines(text)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.integers(), max_size=4), max_size=5
    )
)
def test_lines_point_at_their_keys(tables: dict[str, dict[str, Any]]) -> None:
    """Line n of the text holds the key that is said to stand there."""
    rows: list[str] = []
    for table, entries in tables.items():
        rows.append(f"[{table}]")
        rows += [f"{key} = {value}" for key, value in entries.items()]
    lines = key_lines("\n".join(rows))
    for table, entries in tables.items():
        assert rows[lines[table] - 1] == f"[{table}]"
        for key, value in entries.items():
            assert rows[lines[f"{table}.{key}"] - 1] == f"{key} = {value}"
