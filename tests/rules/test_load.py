from __future__ import annotations

from pathlib import Path

import pytest

from soc.config import RulesSettings
from soc.errors import RuleError
from soc.rules.cache import Cache
from soc.rules.load import load_paths, load_ruleset

GOOD = """title: {title}
id: {id}
logsource:
    category: firewall
detection:
    sel:
        {item}
    condition: sel
"""
ID = "00000000-0000-4000-8000-{:012d}"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache of the test's own."""
    return Cache(tmp_path / "cache" / "rules.msgpack")


def good(number: int, item: str = "action: deny") -> str:
    """A rule file's text."""
    return GOOD.format(title=f"rule {number}", id=ID.format(number), item=item)


def put(folder: Path, name: str, content: str | bytes) -> Path:
    """Write a file below `folder`."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


BOMB = "title: x\nlogsource: {category: firewall}\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [*{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}, *{before}]\n"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD: dict[str, tuple[str | bytes, int, str]] = {
    "bomb": (BOMB + "detection: {sel: {f: *i}, condition: sel}\n", 0, "aliases written out"),
    "cycle": ("title: x\nlogsource: {category: firewall}\ndetection:\n  sel: &s\n    f: [*s]\n  condition: sel\n", 4, "refers to what it stands in"),
    "deep": ("title: x\nf: " + "[" * 50_000 + "\n", 2, "nested deeper"),
    "huge": (b"# " + b"x" * 10_000_000, 1, "10,000,002 bytes"),
    "latin": (good(9).encode().replace(b"rule 9", b"r\xe8gle"), 1, "not UTF-8 (byte 0xe8)"),
    "tab": ("title: x\n\tlogsource: y\n", 2, "not YAML"),
    "list": ("- a\n- b\n", 1, "no mapping"),
    "modifier": (good(9, "action|contians: deny"), 7, "unknown modifier 'contians'"),
    "lookahead": (good(9, "action|re: 'a(?!b)'"), 7, "look-around"),
    "lookbehind": (good(9, "action|re: '(?<=b)a'"), 7, "look-around"),
    "backreference": (good(9, r"action|re: '(a)\1'"), 7, "back references"),
    "broken regex": (good(9, "action|re: '(a'"), 7, "regular expression is wrong"),
    "date": (good(9, "action: 2026-11-20"), 7, "is a date"),
    "mapping value": (good(9, "action: {a: b}"), 7, "is a dict"),
    "text compared": (good(9, "action|gt: '5'"), 7, "incompatible"),
    "host bits": (good(9, "source.ip|cidr: 10.0.0.1/8"), 7, "host bits"),
    "exists text": (good(9, "action|exists: 'true'"), 7, "incompatible"),
    "twice": (good(9, "action: a\n        action: b"), 8, "stands twice"),
    "no detection": ("title: x\nlogsource: {category: firewall}\n", 1, "needs `detection`"),
    "no title": ("logsource: {category: firewall}\ndetection: {s: {a: b}, condition: s}\n", 1, "needs `title`"),
    "detection list": ("title: x\nlogsource: {category: firewall}\ndetection: [a]\n", 3, "no mapping"),
    "condition": (good(9).replace("condition: sel", "condition: sel and nosuch"), 8, "nosuch"),
    "condition type": (good(9).replace("condition: sel", "condition: 5"), 8, "no text"),
    "aggregation": (good(9).replace("condition: sel", "condition: sel | count() > 5"), 8, "not part of Sigma 2"),
    "timeframe": (good(9).replace("    condition", "    timeframe: 5m\n    condition"), 8, "timeframe"),
    "level": (good(9) + "level: terrible\n", 9, "`level` is none of"),
    "id": (good(9).replace(ID.format(9), "nine lives"), 2, "neither a UUID"),
    "tags": (good(9) + "tags: {a: b}\n", 9, "no list of texts"),
    "logsource": (good(9).replace("    category: firewall", "    category: [a]"), 3, "no mapping of category"),
    "soc": (good(9) + "soc: {classify: {level: terrible, category: spam}}\n", 9, "needs a level of"),
    "soc key": (good(9) + "soc: {clasify: 1}\n", 9, "no key 'clasify'"),
    "correlation": ("title: x\nid: " + ID.format(9) + "\ncorrelation:\n  type: event_count\n", 3, "a correlation needs `rules`"),
    "filter": ("title: x\nlogsource: {category: firewall}\nfilter:\n  rules: any\n", 3, "a filter needs one `condition`"),
    "global": ("action: global\ntitle: x\n", 1, "not part of Sigma 2"),
    "large pattern": (good(9, "action|re: '" + "k{1000}" * 1_000 + "'"), 7, "too large"),
    "large pattern without case": (good(9, "action|re|i: '" + "k{1000}" * 200 + "'"), 5, "too large for the linear-time engine"),
    "nested": (good(9).replace("condition: sel", "condition: " + "not " * 60 + "sel"), 8, "nested deeper than 32"),
    "very nested": (good(9).replace("condition: sel", "condition: " + "(sel and " * 2_000 + "sel" + ")" * 2_000), 5, "not a Sigma rule"),
    "expand": (good(9, "action|expand: '%names%'"), 5, "no value list for the placeholder %names%"),
    "keyword startswith": (good(9, "'|startswith': deny"), 7, "no meaning without a field"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_rule_says_where_and_why_and_the_others_load(tmp_path: Path, cache: Cache, name: str) -> None:
    """The error carries path, line and reason; the rules before and after it are there, also on the second, cached load."""
    content, line, reason = BAD[name]
    put(tmp_path / "r", "a.yml", good(1))
    bad = put(tmp_path / "r", "b.yml", content)
    put(tmp_path / "r", "c.yml", good(2))
    for _ in range(2):
        ruleset, errors = load_paths([tmp_path / "r"], cache=cache)
        assert [rule.title for rule in ruleset.rules] == ["rule 1", "rule 2"]
        (error,) = errors
        assert isinstance(error, RuleError)
        assert reason in error.reason
        assert str(error).startswith(f"{bad}:{line or error.line}: ")
        assert error.line >= 1


def test_one_bad_rule_among_a_thousand(tmp_path: Path, cache: Cache) -> None:
    """999 rules load beside one that does not."""
    for number in range(1000):
        put(tmp_path / "r", f"{number:04d}.yml", "title: [\n" if number == 500 else good(number))
    ruleset, errors = load_paths([tmp_path / "r"], cache=cache)
    assert len(ruleset.rules) == 999
    assert [Path(error.path).name for error in errors] == ["0500.yml"]


def test_a_broken_document_does_not_stop_the_others_of_its_file(tmp_path: Path, cache: Cache) -> None:
    """Documents of one file stand for themselves, each with the line where it begins."""
    path = put(tmp_path, "many.yml", good(1) + "---\ntitle: [\n---\n" + good(2))
    ruleset, errors = load_paths([path], cache=cache)
    assert [(rule.title, rule.line) for rule in ruleset.rules] == [("rule 1", 1), ("rule 2", 12)]
    assert [error.line in {10, 11, 12} for error in errors] == [True]


def test_duplicate_ids_keep_the_first(tmp_path: Path, cache: Cache) -> None:
    """The second rule of an id is refused, and told where the first stands."""
    put(tmp_path / "r", "a.yml", good(1))
    put(tmp_path / "r", "b.yml", good(1).replace("rule 1", "other"))
    ruleset, errors = load_paths([tmp_path / "r"], cache=cache)
    assert [rule.title for rule in ruleset.rules] == ["rule 1"]
    assert "a.yml:1" in str(errors[0])


def test_the_hash_is_over_the_sources_not_their_place(tmp_path: Path, cache: Cache) -> None:
    """Renamed and moved files give the same hash, a changed character another."""
    put(tmp_path / "one", "a.yml", good(1))
    put(tmp_path / "one", "b.yml", good(2))
    put(tmp_path / "two", "deep/z.yml", good(1))
    put(tmp_path / "two", "y.yml", good(2))
    put(tmp_path / "three", "a.yml", good(1))
    put(tmp_path / "three", "b.yml", good(2).replace("deny", "denied"))
    one, two, three = (load_paths([tmp_path / name], cache=cache)[0].hash for name in ("one", "two", "three"))
    assert one == two != three


def test_value_lists_hold_for_the_folder_and_below(tmp_path: Path, cache: Cache) -> None:
    """A placeholder takes its values from the nearest values.yml; another list is another rule, not a cached one."""
    put(tmp_path / "r", "values.yml", "names: [a, b]\n")
    put(tmp_path / "r", "x/rule.yml", good(1, "action|expand: '%names%'"))
    first, errors = load_paths([tmp_path / "r"], cache=cache)
    put(tmp_path / "r", "x/values.yml", "names: [c]\n")
    second, _ = load_paths([tmp_path / "r"], cache=cache)
    assert not errors
    assert "'a'" in str(first.rules[0].condition)
    assert "'c'" in str(second.rules[0].condition)


def test_settings_choose_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own folders stand beside the shipped rules; a rule is switched off by id or file name; a missing folder is said."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    put(tmp_path / "r", "a.yml", good(1))
    put(tmp_path / "r", "b.yml", good(2))
    settings = RulesSettings(directories=[tmp_path / "r", tmp_path / "none"], shipped=False, disabled=["b", ID.format(7)])
    ruleset, errors = load_ruleset(settings)
    assert [rule.title for rule in ruleset.rules] == ["rule 1"]
    assert "no such file or folder" in str(errors[0])
    everything, _ = load_ruleset(RulesSettings(directories=[tmp_path / "r"]))
    assert len(everything.rules) > 50
    assert everything.get("a") == ruleset.rules[0]
    assert everything.get("no such rule") is None


def test_a_rule_that_is_named_by_its_file_has_the_lists_beside_it(tmp_path: Path) -> None:
    """As when its folder is named."""
    text = "title: t\nid: x\nlogsource: {category: firewall}\ndetection: {s: {user|expand: '%admins%'}, condition: s}\n"
    (tmp_path / "r.yml").write_text(text, encoding="utf-8")
    (tmp_path / "values.yml").write_text("admins: [root]\n", encoding="utf-8")
    by_file, errors = load_paths([tmp_path / "r.yml"])
    assert errors == []
    assert by_file.hash == load_paths([tmp_path])[0].hash
