"""Completion in bash, zsh and fish: the scripts, what they ask, and how they are answered.

A script hands over the line as far as the cursor as COMP_WORDS, and `_SOC_COMPLETE=<shell>_complete`. It asks the very program
that is being typed, so `bin/soc` of a checkout completes as an installed `soc` does.
Source: click, "Shell Completion"; bash(1), "Programmable Completion"; zshcompsys(1); fish, "complete".
"""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.parser import _split_opt
from click.shell_completion import CompletionItem, ShellComplete, add_completion_class, split_arg_string

VARIABLE = "_SOC_COMPLETE"
OPEN = "open"
"""Type of an item after which one types on: no space follows it."""
_END = "\x00"
_LONGEST = 70

_BASH = r"""
%(complete_func)s() {
    local IFS=$'\n' line type value prefix=
    local cur=${COMP_WORDS[COMP_CWORD]}
    COMPREPLY=()
    # What readline takes for one word ends at = and :, unless it is quoted: the beginning that it leaves alone is cut off.
    while read -r line; do
        IFS=, read -r type value <<< "$line"
        case $type in
            cut) [[ $cur == [\"\']* ]] || prefix=$value ;;
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            open) compopt -o nospace; COMPREPLY+=("${value#"$prefix"}") ;;
            plain) COMPREPLY+=("${value#"$prefix"}") ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" %(complete_var)s=bash_complete "$1" 2> /dev/null)
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = r"""#compdef %(prog_name)s

%(complete_func)s() {
    local -a described open_described response
    local type key descr
    response=("${(@f)$(env COMP_WORDS="${(j: :)words[1,CURRENT-1]} $PREFIX" %(complete_var)s=zsh_complete ${~${(Q)words[1]}} 2> /dev/null)}")
    for type key descr in ${response}; do
        case $type in
            plain) described+=("$key":"$descr") ;;
            open) open_described+=("$key":"$descr") ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#open_described )) && _describe -V unsorted-open open_described -U -S ''
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    # found in fpath: this is the call itself
    %(complete_func)s "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = r"""function %(complete_func)s
    set -l typed (commandline -opc)
    for item in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp | string collect) $typed[1] 2>/dev/null)
        set -l part (string split -m 1 , -- $item)
        switch $part[1]
            case dir
                __fish_complete_directories (commandline -ct)
            case file
                __fish_complete_path (commandline -ct)
            case plain open
                echo $part[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Line(ShellComplete):
    """What the three shells have in common: the line as it is typed, and items of one line each."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is being typed, and that one. Whole words are unquoted, `~` is one's home."""
        # The end mark is part of the last word, which may be empty, or a quote that nobody closed yet.
        *words, last = split_arg_string(os.environ.get("COMP_WORDS", "").lstrip() + _END)
        return [str(Path(word).expanduser()) if word.startswith("~") else word for word in words[1:]], last.removesuffix(_END)

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """The items for the word that is being typed, each as that whole word: also after `--option=`."""
        head, sign, _rest = incomplete.partition("=")
        before = head + sign if sign and _split_opt(head)[0] == "--" else ""
        found = super().get_completions(args, incomplete)
        for item in found:
            item.value = before + item.value if item.type in ("plain", OPEN) else item.value
        return found

    @staticmethod
    def told(item: CompletionItem) -> str:
        """What an item means, as one short line that steers no terminal."""
        from soc.model.text import display_safe

        return " ".join(display_safe(item.help or "", most=_LONGEST).split())

    @staticmethod
    def kept(value: str) -> str:
        """A value as it may stand on one line."""
        from soc.model.text import display_safe

        return display_safe(value)


class Bash(_Line):
    """Bash 4.4 and newer."""

    name = "bash"
    source_template = _BASH

    def complete(self) -> str:
        """The items, after the beginning of their word that readline has set apart already."""
        args, incomplete = self.get_completion_args()
        breaks = [at for at, char in enumerate(incomplete) if char in os.environ.get("COMP_WORDBREAKS", "") and char in "=:"]
        cut = incomplete[: breaks[-1] + 1] if breaks else ""
        items = [self.format_completion(item) for item in self.get_completions(args, incomplete)]
        return "\n".join([f"cut,{cut}", *items] if cut else items)

    def format_completion(self, item: CompletionItem) -> str:
        """Type and value."""
        return f"{item.type},{self.kept(str(item.value))}"


class Zsh(_Line):
    """Zsh 5."""

    name = "zsh"
    source_template = _ZSH

    def format_completion(self, item: CompletionItem) -> str:
        """Type, value and description, each on its line."""
        value = self.kept(str(item.value)).replace("\\", "\\\\").replace(":", "\\:")
        return f"{item.type}\n{value}\n{self.told(item) or value}"


class Fish(_Line):
    """Fish 3."""

    name = "fish"
    source_template = _FISH

    def format_completion(self, item: CompletionItem) -> str:
        """Type, value, and the description behind a tab."""
        told = self.told(item)
        return f"{item.type},{self.kept(str(item.value))}" + (f"\t{told}" if told else "")


SHELLS: dict[str, type[_Line]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def script(shell: str, group: click.Group) -> str:
    """The script that a shell reads."""
    return SHELLS[shell](group, {}, "soc", VARIABLE).source()


def ready() -> None:
    """Let our shells answer instead of click's."""
    for shell in SHELLS.values():
        add_completion_class(shell)
