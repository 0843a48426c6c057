"""Writes docs/reference from the program itself: commands, settings, exit codes and errors.

`tests/architecture/test_docs.py` fails when a page is not what this writes.
"""

from __future__ import annotations

import inspect
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs/reference"
HEAD = "<!-- Made by `make docs`: do not edit. -->\n"


def commands_page() -> str:
    """Every command with its arguments and options."""
    from soc.cli.commands import described

    parts = [
        HEAD,
        "# Commands\n",
        "Options that every command knows (before or after it): " + common() + ".\n",
        "Exit codes: [exit-codes.md](exit-codes.md).\n",
    ]
    for item in described():
        arguments = " ".join(
            ("" if one["required"] else "[") + one["name"] + ("…" if one["many"] else "") + ("" if one["required"] else "]") for one in item["arguments"]
        )
        parts.append(f"## `{item['command']}{' ' + arguments if arguments else ''}`\n\n{item['help']}\n")
        for option in item["options"]:
            value = f" {option['value']}" if option["value"] else ""
            notes = ", ".join(word for word in ("required" if option["required"] else "", "may be repeated" if option["repeatable"] else "") if word)
            parts.append(f"- `{', '.join(option['names'])}{value}` — {option['help']}" + (f" ({notes})" if notes else ""))
        parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def common() -> str:
    """The names of the common options."""
    from soc.cli._group import common_options

    return ", ".join(f"`{option.opts[-1]}`" for option in common_options())


def settings_page() -> str:
    """Everything that can be set."""
    from soc.application.settings import documented

    parts = [
        HEAD,
        "# Settings\n",
        "Order, the first that names a value wins: command-line option, `SOC_*` variable, `--config` or `SOC_CONFIG`, `$XDG_CONFIG_HOME/soc/soc.toml`, `/etc/soc/soc.toml`, default.",
        "The current folder is never looked into; a file that others may write is refused; an unknown key is an error.",
        "A variable is the key in capitals with `__` for the dot: `SOC_STORE__KIND=memory`; lists and tables are JSON.",
        "Secrets exist only as `…_file` (mode 600) or `…_command`.\n",
    ]
    section = None
    for doc in documented():
        head, _, key = doc.key.rpartition(".")
        if head != section:
            section = head
            table, _, kind = head.partition("(")
            title = f"`[{table}]`" + (f' with `type = "{kind[:-1]}"`' if kind else "") if head else "Top level"
            parts += [f"\n## {title}\n", "| key | type | default | meaning |", "|---|---|---|---|"]
        cells = (f"`{key}`", doc.type, f"`{doc.default}`" if doc.default else "", doc.text)
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(parts) + "\n"


def exit_codes_page() -> str:
    """The table of exit codes, and which errors give which."""
    import soc.errors
    from soc.cli._errors import exit_codes

    parts = [HEAD, "# Exit codes and errors\n", "| code | meaning |", "|---|---|"]
    parts += [f"| {code} | {meaning} |" for code, meaning in exit_codes()]
    parts += [
        "\nA preview (`--dry-run`, or a command that shows what it would do until it is told `--yes`) answers a question: it exits with 0 when all of it could",
        "be done, and with 1 when some of it would be refused. So does saying no to its question. Whether anything was done stands in `--json`: `recorded`,",
        "`written` or `removed`. A command that has nothing to show and asks before it acts (several objects at once) ends with 2 where nobody can answer.",
    ]
    parts += ["\n| error | code | meaning |", "|---|---|---|"]
    for name, error in vars(soc.errors).items():
        if isinstance(error, type) and issubclass(error, soc.errors.SocError):
            first = (inspect.getdoc(error) or "").split("\n")[0]
            parts.append(f"| `{name}` | {error.exit_code} | {first} |")
    return "\n".join(parts) + "\n"


def access_page() -> str:
    """Who may do what."""
    from soc.application.access import ACTIONS, COMMANDS
    from soc.model.role import ROLES

    marks = {"any": "+", "own": "own", "": ""}
    parts = [
        HEAD,
        "# Rights\n",
        "A person's role stands in the registry: `soc people import` with the columns `account` and `role`. Nobody registered with an account: whoever may run",
        "`soc` on the machine is administrator. `own`: only with what belongs to the person's agency and those below it. The page of a role is `soc whoami`,",
        "this table `soc access show`; a refusal is exit code 5 and names who may. The last column holds what the program does by itself.",
        "What rights cannot do: [SECURITY.md](../../SECURITY.md).\n",
        "| action | what | " + " | ".join(ROLES) + " | everybody | by itself |",
        "|---|---|" + "---|" * (len(ROLES) + 2),
    ]
    for row in ACTIONS.values():
        cells = [f"`{row.action}`", str(row.what), *(marks[row.reach(role)] for role in ROLES), marks[row.reach("")], marks[row.reach("service")]]
        parts.append("| " + " | ".join(cells) + " |")
    parts += ["\n## Commands\n", "| command | action |", "|---|---|"]
    parts += [f"| `soc {words}` | `{row.action}` |" for words, row in sorted(COMMANDS.items())]
    return "\n".join(parts) + "\n"


def pages() -> dict[str, str]:
    """File name → text of every page, in English whatever the language of the machine."""
    os.environ["LANGUAGE"] = "en"
    from soc import i18n

    i18n.use("en")
    return {"commands.md": commands_page(), "settings.md": settings_page(), "exit-codes.md": exit_codes_page(), "access.md": access_page()}


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
