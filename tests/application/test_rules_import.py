from __future__ import annotations

from pathlib import Path

import pytest

from soc.application.rules_import import LIST, fields_of, look, take
from soc.config import Settings
from soc.errors import Conflict, UsageError
from soc.rules.ast import LogSource
from soc.rules.collection import load_collection
from soc.rules.fields import has_events, taxonomy
from tests.rules.corpus import need_corpus
from tests.rules.test_importing import text
from tests.rules.test_load import put


def test_what_parsers_write_decides_which_rules_can_match() -> None:
    """Fields of the parsers that feed a log source; None for what no parser gives, or none of the products that are set."""
    firewall = fields_of(LogSource(category="firewall"))
    assert firewall is not None
    assert {"source.ip", "destination.port", "event.action", "event.original"} <= firewall
    assert "postfix.queue_id" not in firewall
    mail = fields_of(LogSource(category="mail"))
    assert mail is not None
    assert "email.subject" in mail
    assert fields_of(LogSource(product="windows")) is None
    assert fields_of(LogSource(category="mail"), frozenset({"fortinet_fortigate"})) is None
    assert fields_of(LogSource(product="fortinet", service="event"), frozenset({"postfix"})) is None
    assert fields_of(LogSource(product="fortinet", service="event"), frozenset({"fortinet_fortigate"}))


def test_sources_that_are_set_to_products_limit_what_can_match(tmp_path: Path) -> None:
    """With nothing but a mail server set up, firewall rules are said to be useless."""
    folder = tmp_path / "in"
    put(folder, "a.yml", text(1))
    assert look(Settings(), folder).counts()["ready"] == 1
    only_mail = Settings.model_validate({"sources": {"mail": {"type": "file", "paths": ["/var/log/mail.log"], "product": "postfix"}}})
    assert look(only_mail, folder).counts()["never"] == 1
    with pytest.raises(UsageError, match="no file or folder"):
        look(Settings(), tmp_path / "none")


def test_rules_are_copied_as_they_are(tmp_path: Path) -> None:
    """Paths, texts, value lists; the list names author and licence; a second time changes nothing; other contents are never overwritten."""
    folder, target = tmp_path / "in", tmp_path / "out"
    put(folder / "web", "a.yml", "# a comment of the author\n" + text(1) + "---\n" + text(2, source="product: windows"))
    put(folder, "bad.yml", "title: [\n")
    put(folder, "values.yml", "names: [a, b]\n")
    found = look(Settings(), folder)
    done = take(found, folder, target)
    assert done.rules == 1
    assert (target / "values.yml").read_text(encoding="utf-8") == "names: [a, b]\n"
    assert (target / "web" / "a.yml").read_text(encoding="utf-8") == "# a comment of the author\n" + text(1)
    assert "| web/a.yml | 11111111-0000-4000-8000-000000000001 | rule 1 | somebody | DRL 1.1 |" in (target / LIST).read_text(encoding="utf-8")
    collection, errors, _ = load_collection([target])
    assert (len(collection.ruleset.rules), errors) == (1, [])
    assert collection.ruleset.rules[0].hash == load_collection([folder])[0].ruleset.rules[0].hash
    assert take(found, folder, target) == done
    (target / "web" / "a.yml").write_text("title: mine\n", encoding="utf-8")
    with pytest.raises(Conflict, match="something else"):
        take(found, folder, target)
    assert (target / "web" / "a.yml").read_text(encoding="utf-8") == "title: mine\n"


def test_a_target_that_cannot_be_written(tmp_path: Path) -> None:
    """It is said, with the reason."""
    put(tmp_path / "in", "a.yml", text(1))
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        take(look(Settings(), tmp_path / "in"), tmp_path / "in", tmp_path / "file")


def test_the_published_rules(tmp_path: Path) -> None:
    """Of the rules of the corpus each is ready or has its reason; what is taken over loads without an error, and lint calls none of it useless."""
    folder = need_corpus() / "rules"
    found = look(Settings(), folder)
    counts = found.counts()
    assert counts["ready"] > 100
    assert counts["ready"] + counts["never"] == len(found.candidates) > 500
    assert all(one.reason for one in found.candidates if one.verdict != "ready")
    assert {gap.field for gap in found.gaps} >= {"EventID", "CommandLine"}
    done = take(found, folder, tmp_path / "own")
    collection, errors, _ = load_collection([tmp_path / "own"])
    assert (len(collection.ruleset.rules), errors) == (done.rules, [])
    assert all(has_events(rule.logsource, taxonomy()) for rule in collection.ruleset.rules)
