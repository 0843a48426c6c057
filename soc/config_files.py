"""Finds, reads and checks the configuration, and tells where each value came from.

Order, the first that names a value wins: command-line flag, `SOC_*` variable, `--config` or `SOC_CONFIG`,
`$XDG_CONFIG_HOME/soc/soc.toml`, `/etc/soc/soc.toml`, default. Files are laid over each other table by table; a source
(`[sources.NAME]`) is replaced whole. The current folder is never looked into, and a file that others may write is refused.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from soc.config import Settings, SourceSettings, WebhookSettings
from soc.errors import ConfigError, Phrase
from soc.toml_lines import key_lines

SYSTEM_FILE = Path("/etc/soc/soc.toml")
ENV_PREFIX = "SOC_"
NOT_SETTINGS = ("SOC_CONFIG", "SOC_LANG", "SOC_PYTHON", "SOC_CORPUS", "SOC_REQUIRE_REAL", "SOC_REQUIRE_CORPUS")
"""Variables with the prefix that are no settings: they say where to look, in which language to speak, how to test."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `kind` is `flag`, `environment`, `file` or `default`; `where` the flag, variable or `file:line`."""

    kind: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.where}".strip()


_NAMED = ("sources", "webhook")
"""Tables that hold a table for each name."""
Origins = dict[str, Origin]
"""Dotted key → origin, for every value that was set; what is absent is a default."""

DEFAULT = Origin("default")


@dataclass(slots=True)
class _Layer:
    values: dict[str, Any]
    origins: Origins
    file: str = ""
    lines: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where."""

    message: str
    key: str
    file: str = ""
    line: int = 0
    hint: str = ""

    def told(self) -> Phrase:
        """Place, fault and hint in one line."""
        where = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        if self.hint:
            return Phrase("{where}{message} ({hint})", where=where, message=Phrase(self.message), hint=Phrase(self.hint))
        return Phrase("{where}{message}", where=where, message=Phrase(self.message))


def user_file(env: Mapping[str, str]) -> Path:
    """The user's own file: `$XDG_CONFIG_HOME/soc/soc.toml`, or below `~/.config`."""
    base = env.get("XDG_CONFIG_HOME", "")
    return (Path(base) if base.startswith("/") else Path(env.get("HOME") or "/") / ".config") / "soc" / "soc.toml"


def candidates(explicit: Path | None, env: Mapping[str, str]) -> list[tuple[Path, bool]]:
    """The files that are read, the strongest first, and whether each must exist."""
    files = []
    named = explicit or (Path(env["SOC_CONFIG"]) if env.get("SOC_CONFIG") else None)
    if named is not None:
        files.append((named, True))
    return [*files, (user_file(env), False), (SYSTEM_FILE, False)]


def load(explicit: Path | None = None, env: Mapping[str, str] | None = None, overrides: Mapping[str, Any] | None = None) -> tuple[Settings, Origins]:
    """The settings, and for each key that was set where it came from.

    `overrides` maps dotted keys to values given on the command line.
    Raises: ConfigError that lists every problem of every file and variable at once.
    """
    env = os.environ if env is None else env
    layers = [_read_file(path) for path, required in reversed(candidates(explicit, env)) if required or path.exists()]
    layers += _environment(env)
    layers.append(_overrides(overrides or {}))
    merged: dict[str, Any] = {}
    origins: Origins = {}
    for layer in layers:
        _merge(merged, layer.values, origins, layer.origins)
    try:
        return Settings.model_validate(merged), origins
    except ValidationError as error:
        files = {layer.file: layer for layer in layers if layer.file}
        raise _config_error([_problem(detail, merged, origins, files) for detail in error.errors()]) from None


def _config_error(problems: list[Problem]) -> ConfigError:
    if len(problems) == 1:
        one = problems[0]
        return ConfigError(one.message, file=one.file, line=one.line, key=one.key, hint=one.hint)
    listed = Phrase("\n".join(f"  {{problem{at}}}" for at in range(len(problems))), **{f"problem{at}": one.told() for at, one in enumerate(problems)})
    text = Phrase("{count} problems in the configuration:\n{listed}", count=len(problems), listed=listed)
    error = ConfigError(text, key=problems[0].key, hint="soc help config")
    error.file, error.line = problems[0].file, problems[0].line
    return error


# --- files -------------------------------------------------------------------------------------------------------


def _read_file(path: Path) -> _Layer:
    name = str(path)
    try:
        _refuse_foreign(path)
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(Phrase("cannot be read: {strerror}", strerror=error.strerror), file=name, hint="soc config path") from error
    except UnicodeDecodeError as error:
        raise ConfigError(Phrase("is not UTF-8 text (byte {start})", start=error.start), file=name) from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(Phrase("is not TOML: {error}", error=error), file=name, line=_line_of(error, text), hint="soc help config") from error
    lines = key_lines(text)
    origins = {key: Origin("file", f"{name}:{lines.get(key, 0)}" if key in lines else name) for key in _leaves(values)}
    return _Layer(values, origins, name, lines)


def _refuse_foreign(path: Path) -> None:
    """Refuse a file that somebody else than its reader (or root) could have written."""
    status = path.stat()
    if status.st_mode & 0o022:
        raise ConfigError("others may write this file, so it is not used", file=str(path), hint=Phrase("chmod go-w '{path}'", path=path))
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            "this file belongs to another user, so it is not used", file=str(path), hint=Phrase("chown {user} '{path}'", user=os.geteuid(), path=path)
        )


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> int:
    # Python 3.11-3.13 tell the place in the message only: "... (at line 3, column 1)" or "... (at end of document)".
    found = re.search(r"at line (\d+)", str(error))
    return int(found.group(1)) if found else text.count("\n") + 1


# --- environment and flags -------------------------------------------------------------------------------------------


def _environment(env: Mapping[str, str]) -> list[_Layer]:
    """One layer per variable that is a setting.

    A variable with `__` must be one. One without is looked at only when it is a setting or nearly so: other programs use the prefix.
    """
    layers = []
    problems = []
    for name in sorted(env):
        key = name[len(ENV_PREFIX) :].lower().replace("__", ".")
        if not name.startswith(ENV_PREFIX) or name in NOT_SETTINGS:
            continue
        if _is_known(key):
            layers.append(_variable(name, env[name], key))
        elif "__" in name or difflib.get_close_matches(key, list(Settings.model_fields), n=1, cutoff=0.8):
            near = nearest(key)
            hint = Phrase("did you mean {near}?", near=ENV_PREFIX + near.upper().replace(".", "__")) if near else "soc help config"
            problems.append(Problem(Phrase("the environment variable {name} is no setting", name=name), key, hint=hint))
    if problems:
        raise _config_error(problems)
    return layers


def _variable(name: str, value: str, key: str) -> _Layer:
    # Loaded only when there is a variable: it costs more to import than all the rest here.
    from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict  # noqa: PLC0415
    from pydantic_settings.exceptions import SettingsError  # noqa: PLC0415

    class _FromEnvironment(Settings, BaseSettings):
        model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_nested_delimiter="__")

    source = EnvSettingsSource(_FromEnvironment)
    source.env_vars = {name.lower(): value}
    try:
        values = source()
    except SettingsError as error:
        raise ConfigError(
            Phrase("the environment variable {name} is not the JSON that a list or table needs", name=name),
            key=key,
            hint=Phrase('{name}=\'["one", "two"]\'', name=name),
        ) from error
    return _Layer(values, {leaf: Origin("environment", name) for leaf in _leaves(values)})


def _overrides(overrides: Mapping[str, Any]) -> _Layer:
    values: dict[str, Any] = {}
    for key, value in overrides.items():
        *tables, last = key.split(".")
        table = values
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    return _Layer(values, {key: Origin("flag") for key in overrides})


# --- merging and known keys ------------------------------------------------------------------------------------------


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _merge(into: dict[str, Any], values: Mapping[str, Any], origins: Origins, new_origins: Origins) -> None:
    whole_sources = any(origin.kind == "file" for origin in new_origins.values())
    for name in values.get("sources", {}) if whole_sources and isinstance(values.get("sources"), Mapping) else ():
        if isinstance(into.get("sources"), dict):
            into["sources"].pop(name, None)
        for key in [key for key in origins if key.startswith(f"sources.{name}.")]:
            del origins[key]
    _overlay(into, values)
    origins.update(new_origins)


def _overlay(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _overlay(into[key], value)
        else:
            into[key] = _copy(value)


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def source_models() -> dict[str, type[BaseModel]]:
    """The settings of each type of source, by the word in `type`."""
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in get_args(get_args(SourceSettings)[0])}


def known_keys() -> list[str]:
    """Every dotted key that there is; `sources.NAME` stands for each source, `webhook.NAME` for each gateway."""
    keys = []
    for name, info in Settings.model_fields.items():
        section = info.annotation
        if name == "sources":
            keys += sorted({f"sources.NAME.{key}" for model in source_models().values() for key in model.model_fields})
        elif name == "webhook":
            keys += [f"webhook.NAME.{key}" for key in WebhookSettings.model_fields]
        elif isinstance(section, type) and issubclass(section, BaseModel):
            keys += [f"{name}.{key}" for key in section.model_fields]
        else:
            keys.append(name)
    return keys


def _is_known(key: str) -> bool:
    parts = key.split(".")
    if parts[0] in _NAMED and len(parts) > 2:  # noqa: PLR2004 - sources.NAME.key
        parts[1] = "NAME"
    known = known_keys()
    dotted = ".".join(parts)
    return dotted in known or any(name.startswith(dotted + ".") for name in known)


def nearest(key: str) -> str:
    """The known key that looks most like `key`, "" when none does."""
    parts = key.split(".")
    name = parts[1] if parts[0] in _NAMED and len(parts) > 1 else ""
    known = [candidate.replace(f"{parts[0]}.NAME.", f"{parts[0]}.{name}.") if name else candidate for candidate in known_keys()]
    tables = sorted({candidate.rsplit(".", 1)[0] for candidate in known if "." in candidate})
    siblings = [candidate for candidate in [*known, *tables] if candidate.count(".") == key.count(".")]
    found = difflib.get_close_matches(key, siblings, n=1, cutoff=0.6) or difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if found:
        return found[0]
    last = [candidate for candidate in known if candidate.rsplit(".", 1)[-1] == parts[-1]]
    return last[0] if len(last) == 1 else ""


# --- what is wrong ---------------------------------------------------------------------------------------------------


def _problem(detail: Mapping[str, Any], merged: Mapping[str, Any], origins: Origins, files: Mapping[str, _Layer]) -> Problem:
    key = _dotted(detail["loc"], merged)
    file, line, where = _place(key, origins, files)
    near = nearest(key) if detail["type"] == "extra_forbidden" else ""
    if detail["type"] == "extra_forbidden":
        message, hint = Phrase("unknown key {key!r}", key=key), Phrase("did you mean {near!r}?", near=near) if near else "soc help config"
    elif detail["type"] == "union_tag_not_found":
        message, hint = Phrase("{key}: 'type' is missing", key=key), "type = " + " | ".join(f'"{name}"' for name in source_models())
    else:
        reason = _reason(detail)
        message, hint = Phrase("{key} = {value}: {reason}", key=key, value=_shown(detail.get("input")), reason=reason), ""
    return Problem(Phrase("{where}{message}", where=where, message=message), key, file, line, hint)


def _reason(detail: Mapping[str, Any]) -> str:
    """Why pydantic refuses a value: its commonest reasons in a form that can be said in another language."""
    facts = detail.get("ctx", {})
    bounds = {"greater_than_equal": "ge", "less_than_equal": "le", "greater_than": "gt", "less_than": "lt"}
    if detail["type"] in bounds:
        bound = facts[bounds[detail["type"]]]
        return {
            "ge": Phrase("input should be greater than or equal to {bound}", bound=bound),
            "le": Phrase("input should be less than or equal to {bound}", bound=bound),
            "gt": Phrase("input should be greater than {bound}", bound=bound),
            "lt": Phrase("input should be less than {bound}", bound=bound),
        }[bounds[detail["type"]]]
    if detail["type"] == "literal_error":
        return Phrase("input should be {expected}", expected=facts["expected"])
    if detail["type"] == "value_error":
        return Phrase(facts["error"].args[0])
    reason = str(detail["msg"])
    return Phrase(reason[0].lower() + reason[1:])


def _dotted(loc: tuple[int | str, ...], merged: Mapping[str, Any]) -> str:
    """The key of a pydantic location, without the tags of unions, which are no keys."""
    parts: list[str] = []
    here: Any = merged
    for position, part in enumerate(loc):
        if part == "[key]":
            continue
        if isinstance(here, Mapping) and part not in here and position == 2 and loc[0] == "sources":  # noqa: PLR2004 - sources, NAME, tag
            continue
        parts.append(str(part))
        here = here.get(part) if isinstance(here, Mapping) else here[part] if isinstance(here, list) and isinstance(part, int) else None
    return ".".join(parts)


def _place(key: str, origins: Origins, files: Mapping[str, _Layer]) -> tuple[str, int, str]:
    """File and line of a key, or a word about the variable or flag that set it."""
    origin = origins.get(key)
    above = key
    while origin is None and above:
        origin = next((origins[known] for known in origins if known == above or known.startswith(above + ".")), None)
        above = above.rpartition(".")[0]
    if origin is None or origin.kind == "default":
        return "", 0, ""
    if origin.kind != "file":
        return "", 0, f"{origin.where or 'command line'}: "
    file = next((name for name in files if origin.where == name or origin.where.startswith(name + ":")), origin.where)
    lines = files[file].lines if file in files else {}
    while key and key not in lines:
        key = key.rpartition(".")[0]
    return file, lines.get(key, 0), ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - one line of an error
