"""Templates: one table of fields, and files that cannot drift from it."""

from __future__ import annotations

import json
from pathlib import Path

from soc.adapters.elastic.templates import CONTROL, VERSION, Names, event_mappings, field_types, templates, write_templates

DEPLOY = Path(__file__).parents[3] / "deploy" / "elastic"


def test_the_files_for_operators_are_those_of_the_program(tmp_path: Path) -> None:
    """`deploy/elastic` is what the program would install, byte for byte."""
    write_templates(tmp_path)
    made = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert {path.name: path.read_bytes() for path in DEPLOY.glob("*.json")} == made, "run: python -m soc.adapters.elastic.templates deploy/elastic"


def test_no_field_is_also_a_parent_of_another() -> None:
    """A mapping cannot be a value and an object; vendor objects have no mapped fields below them."""
    fields = field_types()
    assert [(field, other) for field in fields for other in fields if other.startswith(field + ".")] == []


def test_mappings_are_closed_and_of_core_types() -> None:
    """Nothing is mapped by what comes in, and no type needs a licence or another module."""
    mappings = event_mappings()
    assert mappings["dynamic"] is False
    kinds = set(json.dumps(mappings).split('"type": "')[1:])
    assert {kind.split('"')[0] for kind in kinds} == {"ip", "long", "double", "boolean", "date", "date_nanos", "keyword", "flattened", "text"}


def test_every_template_carries_the_layout_version() -> None:
    """A newer program's store is recognised by the version of its templates."""
    made = templates("soc", shards=3, replicas=1)
    assert set(made) == {"soc-events", *(f"soc-{what}" for what in CONTROL)}
    assert {one["_meta"]["version"] for one in made.values()} == {VERSION}
    assert made["soc-events"]["template"]["settings"]["index"]["number_of_shards"] == 3
    assert all(one["template"]["settings"]["index"]["number_of_shards"] == 1 for name, one in made.items() if name != "soc-events")


def test_partitions_are_named_by_kind_month_and_generation() -> None:
    """`soc-events-<kind>-YYYY.MM-<generation>` behind an alias without the generation."""
    names = Names("soc")
    assert names.generation(names.partition("mail", "2026.11"), 2) == "soc-events-mail-2026.11-000002"
