from __future__ import annotations

import subprocess
import sys

import click

from soc.cli import _group
from soc.cli.rules import command as rules


def test_a_subcommand_is_a_module_found_by_its_name() -> None:
    """Names that Python keeps for itself are written with `_` behind; files that begin with `_` are no subcommands."""
    names = rules.list_commands(click.Context(rules))
    assert {"eval", "explain", "lint", "list", "test"} <= set(names)
    assert not [name for name in names if name.startswith("-") or name.endswith("-") or "_" in name]
    assert rules.get_command(click.Context(rules), "_load") is None


def test_help_imports_no_engine() -> None:
    """`soc --help` and `soc rules --help` need neither YAML nor pySigma nor the engine."""
    for words in (["--help"], ["rules", "--help"], ["rules", "list", "--help"]):
        code = f"import sys; from soc.cli import execute; execute({words!r}); print(sorted(set(sys.modules) & {{'yaml', 'sigma', 're2', 'soc.rules.engine'}}))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]", words


def test_subcommands_have_the_common_options() -> None:
    """`soc rules list --store DIR` is as good as `soc --store DIR rules list`."""
    context = click.Context(_group.root())
    noun = _group.root().get_command(context, "rules")
    assert isinstance(noun, click.Group)
    for name in noun.list_commands(context):
        inner = noun.get_command(context, name)
        assert inner is not None
        assert "--store" in {option for param in inner.params for option in param.opts}, name
