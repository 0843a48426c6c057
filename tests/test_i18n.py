from __future__ import annotations

import ast
import copy
import gettext as stdlib
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import make_locale
from soc import i18n
from soc.errors import ConfigError, Phrase, QuerySyntaxError


@pytest.fixture(autouse=True)
def _english_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Other tests speak English."""
    monkeypatch.setenv("LANGUAGE", "en")
    yield
    i18n.use("en")


@pytest.mark.parametrize(
    ("args", "env", "language"),
    [
        (["--lang", "vi"], {"SOC_LANG": "en"}, "vi"),
        (["alerts", "--lang=vi", "list"], {}, "vi"),
        (["--", "--lang", "vi"], {}, "en"),
        ([], {"SOC_LANG": "vi", "LANG": "en_US.UTF-8"}, "vi"),
        ([], {"LC_ALL": "C", "LANG": "vi_VN.UTF-8"}, "en"),
        ([], {"LC_MESSAGES": "vi_VN.UTF-8", "LANG": "en_US.UTF-8"}, "vi"),
        ([], {"LANG": "vi_VN"}, "vi"),
        ([], {"LANGUAGE": "vi", "LC_ALL": "en_US.UTF-8"}, "vi"),
        ([], {"LANGUAGE": "fr:vi_VN:en", "LANG": "C.UTF-8"}, "vi"),
        ([], {"SOC_LANG": "en", "LANGUAGE": "vi"}, "en"),
        ([], {"LANG": "fr_FR.UTF-8"}, "en"),
        ([], {}, "en"),
        (["--lang"], {}, "en"),
    ],
)
def test_choose(args: list[str], env: dict[str, str], language: str) -> None:
    """Option, then SOC_LANG, then the locale; English when none is known."""
    assert i18n.choose(args, env) == language


def test_every_text_has_a_vietnamese_one() -> None:
    """No text of ours or click's is left in English; `make locale` collects new ones."""
    assert make_locale.untranslated(make_locale.updated()) == []


def test_catalog_is_up_to_date() -> None:
    """The checked-in files hold exactly today's texts."""
    catalog = make_locale.updated()
    current = make_locale.PO.read_bytes() == make_locale.po_bytes(catalog) and make_locale.PO.with_suffix(".mo").read_bytes() == make_locale.mo_bytes(catalog)
    assert current, "run: make locale"  # not compared in the assertion: explaining how two catalogs differ takes minutes


def test_no_text_hides_in_an_f_string() -> None:
    """The collector of Python 3.11 does not look into f-strings, that of 3.12 does: every version must find the same texts."""
    for path in (Path(__file__).parents[1] / "soc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                calls = [inner.func.id for inner in ast.walk(node) if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name)]
                assert "_" not in calls, f"{path}:{node.lineno}"


def test_placeholders_survive_translation() -> None:
    """A translation names no value that is not given, and leaves none out."""
    for message in make_locale.updated():
        if not message.id:
            continue
        given = set(re.findall(r"{[^}]*}", message.id if isinstance(message.id, str) else "".join(message.id)))
        used = set(re.findall(r"{[^}]*}", message.string if isinstance(message.string, str) else "".join(message.string or ())))
        assert used <= given, message.id
        if isinstance(message.id, str):
            assert used == given, message.id


def test_use_speaks_for_click_too() -> None:
    """The texts of click come from the same catalog."""
    i18n.use("vi")
    assert i18n.current() == "vi"
    assert i18n.gettext("error") == "lỗi"
    assert stdlib.gettext("Usage:") == "Cách dùng:"
    assert i18n.ngettext("Give up {count} dead letter?", "Give up {count} dead letters?", 2) == "Bỏ {count} bản ghi lỗi?"
    i18n.use("en")
    assert i18n.gettext("error") == "error"
    assert stdlib.gettext("Usage:") == "Usage:"


@pytest.mark.slow
def test_the_built_wheel_speaks_vietnamese(tmp_path: Path) -> None:
    """The compiled texts, rules and type marker are package data."""
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)], cwd=root, check=True, capture_output=True)
    wheel = next(tmp_path.glob("*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert {"soc/locale/vi/LC_MESSAGES/messages.mo", "soc/py.typed"} <= set(names)
    assert any(name.startswith("soc/rules/content/") and name.endswith(".yml") for name in names)
    zipfile.ZipFile(wheel).extractall(tmp_path / "unpacked")
    done = subprocess.run(
        [sys.executable, "-P", "-m", "soc", "--lang", "vi", "--help"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "unpacked")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Cách dùng: soc" in done.stdout


def test_a_phrase_is_english_everywhere_but_at_the_border() -> None:
    """It is the English string for programs, and the reader's sentence with the same facts for people."""
    phrase = Phrase("no event {prefix}", prefix="{error} %s")
    assert (phrase, json.loads(json.dumps([phrase])), copy.deepcopy(phrase).facts) == (
        "no event {error} %s",
        ["no event {error} %s"],
        {"prefix": "{error} %s"},
    )
    i18n.use("vi")
    assert i18n.translated(phrase) == "không có sự kiện {error} %s"
    assert i18n.translated("store") == "kho dữ liệu"
    assert i18n.translated("") == ""


def test_what_came_from_outside_is_never_translated() -> None:
    """A fact that happens to be one of our words stays as it is; a phrase inside a phrase does not."""
    i18n.use("vi")
    assert i18n.translated(Phrase("no event {prefix}", prefix="store")) == "không có sự kiện store"
    assert i18n.translated(QuerySyntaxError("a (", 2, "this ( is never closed").message) == "dấu ( này không được đóng tại ký tự 3"
    error = ConfigError("others may write this file, so it is not used", file="/etc/soc/soc.toml")
    assert i18n.translated(error.message) == "/etc/soc/soc.toml: người khác ghi được vào tệp này nên nó không được dùng"


def test_no_error_hides_its_sentence_in_an_f_string() -> None:
    """What people read can be said in their language."""
    for path in sorted((make_locale.ROOT / "soc").rglob("*.py")):
        assert not [f"{path}:{line}" for line in make_locale.unsayable(ast.parse(path.read_text(encoding="utf-8")))]
