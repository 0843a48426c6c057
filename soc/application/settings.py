"""Asking for the configuration: what is set, from where, and what could be set."""

from __future__ import annotations

from typing import Any

import msgspec
from pydantic import BaseModel

from soc.config import Settings, WebhookSettings
from soc.config_files import DEFAULT, Origins, source_models


class Setting(msgspec.Struct):
    """One setting: dotted key, value as JSON would write it, where it came from."""

    key: str
    value: Any
    origin: str


class SettingDoc(msgspec.Struct):
    """What can be set: dotted key, type, default, and what it is for."""

    key: str
    type: str
    default: str
    text: str


def shown(settings: Settings, origins: Origins) -> list[Setting]:
    """Every setting with its value. Secrets are never values: only the file or command that holds them is one."""
    return [Setting(key, value, str(_origin(key, origins))) for key, value in _flat(settings.model_dump(mode="json"))]


def _origin(key: str, origins: Origins) -> Any:
    found = origins.get(key)
    while found is None and "." in key:
        key = key.rpartition(".")[0]
        found = origins.get(key)
    return found or DEFAULT


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for key, value in values.items():
        if isinstance(value, dict) and value:
            out += _flat(value, f"{prefix}{key}.")
        else:
            out.append((prefix + key, value))
    return out


def documented() -> list[SettingDoc]:
    """Everything that can be set, section by section; `sources.NAME.*` once per type of source (`type = …`)."""
    docs: list[SettingDoc] = []
    for name, info in Settings.model_fields.items():
        if name == "sources":
            for kind, model in source_models().items():
                docs += [_doc(f"sources.NAME({kind}).{key}", model, key) for key in model.model_fields]
        elif name == "webhook":
            docs += [_doc(f"webhook.NAME.{key}", WebhookSettings, key) for key in WebhookSettings.model_fields]
        elif isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            docs += [_doc(f"{name}.{key}", info.annotation, key) for key in info.annotation.model_fields]
        else:
            docs.append(_doc(name, Settings, name))
    return docs


def _doc(key: str, model: type[BaseModel], field: str) -> SettingDoc:
    info = model.model_fields[field]
    schema = model.model_json_schema()["properties"][field]
    default = "(required)" if info.is_required() else _default(info.get_default(call_default_factory=True))
    return SettingDoc(key, _type(schema), default, (info.description or "").replace("\n", " "))


def _default(value: Any) -> str:
    if value is None:
        return ""
    return msgspec.json.encode(value, enc_hook=str).decode()


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_type(option) for option in schema["anyOf"] if option.get("type") != "null"))
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    word = {"string": "text", "integer": "whole number", "number": "number", "boolean": "true | false"}.get(
        str(schema.get("type")), str(schema.get("type", "table"))
    )
    if schema.get("format") in ("path", "file-path", "directory-path"):
        word = "path"
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    return word + (f" from {low}" if low is not None else "") + (f" to {high}" if high is not None else "")
