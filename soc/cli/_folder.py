"""A command whose subcommands are the modules of a package, found by file name."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Any

import click


class Folder(click.Group):
    """A group that imports a subcommand's module when it is asked for.

    A subcommand is a module of `package` whose name does not begin with `_`, with a module-level `command`. `_` at the end
    of a name that Python keeps for itself (`import_`) is not part of the command's name.
    """

    def __init__(self, package: str, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.package = package

    def modules(self) -> dict[str, str]:
        """The module of each subcommand."""
        found = pkgutil.iter_modules(sys.modules[self.package].__path__)
        return {one.name.rstrip("_").replace("_", "-"): one.name for one in found if not one.name.startswith("_")}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(self.modules())

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        module = self.modules().get(name)
        if module is None:
            return None
        if name not in self.commands:
            from soc.cli._group import completed, told_alone, with_common_options

            found = importlib.import_module(f"{self.package}.{module}").command
            assert isinstance(found, click.Command)
            path = (self.package.rpartition(".")[2], name)
            self.add_command(completed(told_alone(with_common_options(found), path), path), name)
        return self.commands[name]
