"""Writes THIRD_PARTY.md: every package that an installed `soc` brings along, with version and licence.

The packages and versions are those of requirements/runtime.txt; the licences those that the installed packages state.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "THIRD_PARTY.md"

# Packages whose metadata name no licence in a usable form; read in their licence files.
KNOWN = {"google-re2": "BSD-3-Clause", "crc32c": "LGPL-2.1-or-later"}


def locked() -> list[tuple[str, str, str]]:
    """Name, version and marker ("" = always) of each locked package."""
    # Reference: pip's requirements file format (a pin, its marker, hashes on the following lines)
    pattern = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)(?: ; ([^\\]+?))? \\$", re.MULTILINE)
    return [(name, version, marker.strip()) for name, version, marker in pattern.findall((ROOT / "requirements/runtime.txt").read_text(encoding="utf-8"))]


def license_of(name: str) -> str:
    """The licence that an installed package states, "" when it is not installed here."""
    try:
        package = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    if name in KNOWN:
        return KNOWN[name]
    expression = first_of(package, "License-Expression")
    if expression:
        return expression
    classifiers = [line.rpartition(" :: ")[2] for line in package.get_all("Classifier") or [] if line.startswith("License :: ")]
    specific = [line for line in classifiers if line != "OSI Approved"]
    stated = first_of(package, "License").split("\n")[0]
    return " AND ".join(specific) if specific else stated if len(stated) < 60 else "see its licence file"  # noqa: PLR2004 - longer is the text itself


def first_of(package: metadata.PackageMetadata, field: str) -> str:
    """The first value of a metadata field, "" when there is none."""
    return str((package.get_all(field) or [""])[0]).strip()


def page() -> str:
    """The text of the file."""
    rows = []
    for name, version, marker in locked():
        license_name = license_of(name)
        if not license_name and marker:
            continue  # for other platforms only
        rows.append(f"| {name} | {version} | {license_name} |")
    head = [
        "<!-- Made by `make docs`: do not edit. -->",
        "# Third-party packages\n",
        "`soc` itself is Apache-2.0 (LICENSE). It runs with these packages, unmodified and installed beside it; LGPL packages are used as libraries only.",
        "Shipped Sigma rules name their author and id in each file.",
        "The names of tactics and techniques (soc/rules/attack.json) are MITRE ATT&CK®: © 2025 The MITRE Corporation. This work is reproduced and distributed with the permission of The MITRE Corporation (https://attack.mitre.org/resources/legal-and-branding/terms-of-use/).\n",
        "The handbook is printed with DejaVu Sans Condensed 2.37 (soc/reports/fonts, unmodified; Bitstream Vera licence, changes in the public domain: soc/reports/fonts/LICENSE.txt).\n",
        "| package | version | licence |",
        "|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def main() -> None:
    """Write the file."""
    TARGET.write_text(page(), encoding="utf-8")
    print(TARGET.name)


if __name__ == "__main__":
    main()
