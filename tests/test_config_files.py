from __future__ import annotations

import os
from pathlib import Path

import pytest

from soc.config_files import DEFAULT, Origin, known_keys, load
from soc.errors import ConfigError


def env_of(home: Path, **more: str) -> dict[str, str]:
    """An environment that sees nothing of the machine."""
    return {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "xdg"), **more}


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    """A configuration file with exactly this mode."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)
    return path


def failure(tmp_path: Path, text: str, **env: str) -> ConfigError:
    """The error that a file gives."""
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path / "soc.toml", text), env_of(tmp_path, **env))
    return caught.value


def test_without_any_file_everything_is_default(tmp_path: Path) -> None:
    """No file is needed."""
    settings, origins = load(None, env_of(tmp_path))
    assert settings.store.kind == "embedded"
    assert origins.get("store.kind", DEFAULT) is DEFAULT


def test_order_flag_over_variable_over_named_over_user_file(tmp_path: Path) -> None:
    """Each layer wins over the one below it, key by key, and says so."""
    write(tmp_path / "xdg/soc/soc.toml", 'timezone = "UTC"\nlanguage = "vi"\nread_only = true\n[pipeline]\nbatch_size = 1\nlateness_s = 5\n')
    named = write(tmp_path / "named.toml", '\nlanguage = "en"\n[pipeline]\nbatch_size = 2\n[store]\nprefix = "fromfile"\n')
    settings, origins = load(
        named,
        env_of(tmp_path, SOC_PIPELINE__BATCH_SIZE="3", SOC_STORE__PREFIX="fromenv", SOC_STORE__HOSTS='["http://a:1"]'),
        {"store.prefix": "fromflag"},
    )
    assert (settings.timezone, settings.language, settings.read_only) == ("UTC", "en", True)
    assert (settings.pipeline.batch_size, settings.pipeline.lateness_s, settings.store.prefix) == (3, 5, "fromflag")
    assert settings.store.hosts == ["http://a:1"]
    assert origins["language"] == Origin("file", f"{named}:2")
    assert origins["pipeline.batch_size"] == Origin("environment", "SOC_PIPELINE__BATCH_SIZE")
    assert origins["store.prefix"] == Origin("flag")


def test_soc_config_names_the_file(tmp_path: Path) -> None:
    """`SOC_CONFIG` does what `--config` does."""
    named = write(tmp_path / "elsewhere.toml", 'language = "vi"')
    assert load(None, env_of(tmp_path, SOC_CONFIG=str(named)))[0].language == "vi"


def test_current_folder_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A soc.toml that somebody left in a folder has no effect."""
    write(tmp_path / "soc.toml", 'language = "vi"')
    monkeypatch.chdir(tmp_path)
    assert load(None, env_of(tmp_path / "home"))[0].language == ""


def test_a_source_is_replaced_whole(tmp_path: Path) -> None:
    """A stronger file's source keeps no key of a weaker file's source of that name."""
    write(tmp_path / "xdg/soc/soc.toml", '[sources.fw]\ntype = "syslog"\nudp = "127.0.0.1:5514"\n')
    named = write(tmp_path / "n.toml", '[sources.fw]\ntype = "file"\npaths = ["/var/log/fw.log"]\n')
    settings, origins = load(named, env_of(tmp_path))
    assert settings.sources["fw"].type == "file"
    assert "sources.fw.udp" not in origins


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Group and world write both count."""
    with pytest.raises(ConfigError, match="others may write") as caught:
        load(write(tmp_path / "soc.toml", "", mode), env_of(tmp_path))
    assert caught.value.exit_code == 3
    assert "chmod go-w" in caught.value.hint


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_another_user_is_refused(tmp_path: Path) -> None:
    """Its owner could write it."""
    path = write(tmp_path / "soc.toml", "")
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="belongs to another user"):
        load(path, env_of(tmp_path))


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A slip in `--config` is not silently the default configuration."""
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path / "none.toml", env_of(tmp_path))


@pytest.mark.parametrize(
    ("text", "line", "key", "near"),
    [
        ('[store]\nknid = "memory"\n', 2, "store.knid", "store.kind"),
        ('# a\n\n[stor]\nkind = "memory"\n', 3, "stor", "store"),
        ("[pipeline]\nbatch_size = 5\nbatchsize = 5\n", 3, "pipeline.batchsize", "pipeline.batch_size"),
        ('[sources.fw]\ntype = "syslog"\nudpp = "127.0.0.1:1"\n', 3, "sources.fw.udpp", "sources.fw.udp"),
        ('store = { kind = "memory", prefx = "a" }\n', 1, "store.prefx", "store.prefix"),
        ('languag = "vi"\n', 1, "languag", "language"),
    ],
)
def test_unknown_key_names_file_line_and_nearest(tmp_path: Path, text: str, line: int, key: str, near: str) -> None:
    """A slip of the pen is found at once."""
    error = failure(tmp_path, text)
    assert (error.file, error.line, error.key) == (str(tmp_path / "soc.toml"), line, key)
    assert f"unknown key {key!r}" in error.message
    assert near in error.hint


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("[pipeline]\n\nbatch_size = 0\n", 3, "pipeline.batch_size"),
        ('[pipeline]\nbatch_size = "many"\n', 2, "pipeline.batch_size"),
        ('[store]\nkind = "mongo"\n', 2, "store.kind"),
        ('[sources.fw]\ntype = "file"\n', 1, "sources.fw.paths"),
        ('[sources.fw]\nudp = "x"\n', 1, "sources.fw"),
        ('[sources."Fw X"]\ntype = "syslog"\n', 1, "sources.Fw X"),
        ('roles = [\n "collect",\n "cook",\n]\n', 1, "roles.1"),
    ],
)
def test_wrong_value_names_file_line_and_key(tmp_path: Path, text: str, line: int, key: str) -> None:
    """Type and range errors say where."""
    error = failure(tmp_path, text)
    assert (error.line, error.key) == (line, key)
    assert error.file == str(tmp_path / "soc.toml")


def test_all_problems_at_once(tmp_path: Path) -> None:
    """One run shows everything that is to be mended."""
    error = failure(tmp_path, '[store]\nknid = "x"\n[pipeline]\nbatch_size = 0\n[log]\nlevel = "loud"\n')
    assert error.message.startswith("3 problems")
    for line, key in ((2, "store.knid"), (4, "pipeline.batch_size"), (6, "log.level")):
        assert f"soc.toml:{line}: " in error.message
        assert key in error.message


def test_toml_syntax_error_names_the_line(tmp_path: Path) -> None:
    """Even what is not TOML is located."""
    error = failure(tmp_path, 'language = "vi"\n[store\n')
    assert error.line == 2
    assert "is not TOML" in error.message


def test_unknown_variable_names_the_nearest(tmp_path: Path) -> None:
    """A nested variable must be a setting; a foreign variable with our prefix is left alone."""
    with pytest.raises(ConfigError) as caught:
        load(None, env_of(tmp_path, SOC_STORE__KNID="memory"))
    assert "SOC_STORE__KIND" in caught.value.hint
    with pytest.raises(ConfigError, match="SOC_TIMEZON"):
        load(None, env_of(tmp_path, SOC_TIMEZON="UTC"))
    load(None, env_of(tmp_path, SOC_SOMETHING_ELSE="1", SOC_REQUIRE_REAL="1", SOC_LANG="vi"))


def test_wrong_variable_names_it(tmp_path: Path) -> None:
    """The variable is named, whether its value or its form is wrong."""
    with pytest.raises(ConfigError, match="SOC_PIPELINE__BATCH_SIZE"):
        load(None, env_of(tmp_path, SOC_PIPELINE__BATCH_SIZE="many"))
    with pytest.raises(ConfigError, match="SOC_STORE__HOSTS"):
        load(None, env_of(tmp_path, SOC_STORE__HOSTS="http://a:1"))


def test_a_source_from_variables(tmp_path: Path) -> None:
    """A whole source can come from the environment."""
    settings, _ = load(None, env_of(tmp_path, SOC_SOURCES__FW__TYPE="syslog", SOC_SOURCES__FW__UDP="127.0.0.1:5514"))
    assert settings.sources["fw"].type == "syslog"


def test_known_keys_are_all_keys() -> None:
    """Nothing that can be set is left out of help and reference."""
    keys = known_keys()
    assert {"language", "store.kind", "sources.NAME.type", "sources.NAME.udp", "sources.NAME.token_file", "kafka.group"} <= set(keys)
    assert len(keys) == len(set(keys))
