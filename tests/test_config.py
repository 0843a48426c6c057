"""Settings have sane defaults and bounds; secrets come from files that nobody else reads, or from commands."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from soc.config import Settings, secret
from soc.errors import ConfigError


def test_no_setting_is_needed() -> None:
    """Without any, everything has a value, and nothing is open to the network."""
    settings = Settings()
    assert settings.sources == {}
    assert settings.metrics.listen == ""
    assert settings.store.kind == "embedded"


@pytest.mark.parametrize("name", ["../etc", "a/b", "a\x1fb", ".", "A", "", "a" * 64, "a\n", "-x", "a b"])
def test_a_sources_name_can_be_a_file_and_a_key(name: str) -> None:
    """It names folders, partitions and state: no separator, no control, no way out of a folder."""
    with pytest.raises(ValidationError):
        Settings.model_validate({"sources": {name: {"type": "file", "paths": ["x"]}}})


@pytest.mark.parametrize("scope", ["exercise:", "exercise:a b", "REAL", "exercise:a\x1f", "", "other", "exercise:x\n"])
def test_a_scope_is_real_or_a_named_exercise(scope: str) -> None:
    """Anything else would be a scope that no query shows."""
    with pytest.raises(ValidationError):
        Settings.model_validate({"sources": {"a": {"type": "file", "paths": ["x"], "scope": scope}}})


def test_a_secret_is_read_from_a_private_file(tmp_path: Path) -> None:
    """Without its line end; a file that others may read is refused before it is used."""
    file = tmp_path / "password"
    file.write_text("s3cret\r\n")
    file.chmod(0o600)
    assert secret("store.password", file, "") == "s3cret"
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read") as caught:
        secret("store.password", file, "")
    assert "s3cret" not in str(caught.value) + caught.value.hint
    with pytest.raises(ConfigError, match="cannot be read"):
        secret("store.password", tmp_path / "absent", "")


def test_a_secret_is_what_a_command_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that fails is told with its own words, never with what it printed."""
    monkeypatch.setattr("soc.config.SECRET_S", 600)
    assert secret("store.password", None, "printf 's3cret\\n'") == "s3cret"
    with pytest.raises(ConfigError, match="failed with 3: no vault") as caught:
        secret("store.password", None, "echo s3cret; echo no vault >&2; exit 3")
    assert "s3cret" not in str(caught.value)
    assert secret("store.password", None, "") == ""


def test_a_command_that_waits_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command of a secret that asks a person would hold everything up: it is told, with its setting."""
    monkeypatch.setattr("soc.config.SECRET_S", 0.2)
    with pytest.raises(ConfigError, match=r"store\.password did not end within 0\.2 s") as told:
        secret("store.password", None, "sleep 20")
    assert told.value.key == "store.password_command"


def test_a_secret_that_is_no_text_is_told_and_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key or a picture in its place: the setting is named, the bytes are not."""
    monkeypatch.setattr("soc.config.SECRET_S", 600)
    file = tmp_path / "secret"
    file.write_bytes(b"s3cret\xff")
    file.chmod(0o600)
    for key, words in (("store.password_file", (file, "")), ("store.password_command", (None, f"cat {file}"))):
        with pytest.raises(ConfigError, match="is not UTF-8 text") as told:
            secret("store.password", *words)
        assert told.value.key == key
        assert "s3cret" not in str(told.value)
        assert told.value.__cause__ is None
