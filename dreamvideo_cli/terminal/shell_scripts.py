"""The completion scripts of bash, zsh and fish; `python -m dreamvideo_cli.terminal.shell_scripts` writes completions/.

They ask `dv` itself at each tab, so an installed one never grows old. All three take the answer as lines of
value, tab, help: the form that typer gives fish.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Literal, get_args

from dreamvideo_cli.terminal.output import Out
from engine.errors import InputError
from engine.files import written_aside

Shell = Literal["bash", "zsh", "fish"]
SHELLS: tuple[Shell, ...] = get_args(Shell)
ASKING = "_DV_COMPLETE"
"""The environment variable that makes `dv` answer a tab press instead of running a command."""

_FILES = {"bash": "dv.bash", "zsh": "_dv", "fish": "dv.fish"}
_HEAD = "Completion of dv for {shell}. Made from the app by `make docs`: changes here are lost."
_ASK = f"env {ASKING}=complete_fish _TYPER_COMPLETE_FISH_ACTION=get-args _TYPER_COMPLETE_ARGS="

_BASH = f"""\
# {_HEAD}

_dv_completion() {{
    local line=${{COMP_LINE:0:COMP_POINT}} before="" value
    local word=${{line##*[[:space:]]}} breaks=${{COMP_WORDBREAKS//[^@=:]/}}
    # Bash puts a reply after the last of its word breaks, such as the = of an option. An @, as before a version,
    # it takes to the reply, which says nothing of the option.
    if [[ -n $breaks && $word == *[$breaks]* ]]; then
        before=${{word%"${{word##*[$breaks]}}"}}
        before=${{before%@}}
        before=${{before#--*=}}
    fi
    COMPREPLY=()
    while IFS=$'\\t' read -r value _; do
        if [[ -n $value ]]; then
            COMPREPLY+=("${{value#"$before"}}")
        fi
    done < <({_ASK}"$line" "$1" 2>/dev/null)
}}

complete -o default -F _dv_completion dv
"""

_ZSH = f"""\
#compdef dv
# {_HEAD}

_dv() {{
    local value help
    local -a values
    local line="${{(j: :)words[1,CURRENT-1]}} $PREFIX"
    while IFS=$'\\t' read -r value help; do
        if [[ -n $value ]]; then
            values+=("${{value//:/\\\\:}}${{help:+:$help}}")
        fi
    done < <({_ASK}"$line" "$words[1]" 2>/dev/null)
    # After --option= comes its value.
    compset -P '--*='
    if (( $#values )); then
        _describe -V dv values
    else
        _files
    fi
}}

if [[ $funcstack[1] == _dv ]]; then
    _dv "$@"
else
    if (( ! $+functions[compdef] )); then
        autoload -Uz compinit && compinit -i
    fi
    compdef _dv dv
fi
"""

_FISH = f"""\
# {_HEAD}

function __dv_completion
    set -l line (commandline -cp | string collect)
    set -l word (commandline -ct)
    # After --option= comes its value, and fish replaces the word as a whole.
    set -l before (string match -r -- '^--[^=]+=' $word)
    set -l values ({_ASK}"$line" (commandline -op)[1] 2>/dev/null | string match -rv '^$')
    if test (count $values) -gt 0
        printf '%s\\n' "$before"$values
    else
        __fish_complete_path $word
    end
end

complete -c dv -e
complete -c dv -f -a '(__dv_completion)'
"""


def script(shell: Shell) -> str:
    """The completion script of a shell."""
    return {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}[shell].replace("{shell}", shell)


def write_scripts(folder: Path) -> list[Path]:
    """Write the scripts of all shells into a folder."""
    written = []
    for shell in SHELLS:
        path = folder / _FILES[shell]
        with written_aside(path) as partial:
            partial.write_text(script(shell), encoding="utf-8")
        written.append(path)
    return written


def shell_in_use() -> Shell:
    """The user's login shell. Raises `InputError` where it is another than those three."""
    name = Path(os.environ.get("SHELL", "")).name
    for shell in SHELLS:
        if shell == name:
            return shell
    known = ", ".join(SHELLS)
    raise InputError(f"your shell is {name or 'not known'}: name one of {known}, as in: dv completion install bash")


def install(shell: Shell) -> tuple[Path, Path | None]:
    """Put the script where the shell finds it, and give its path; a second path is the rc file that got a line."""
    home = Path.home()
    data = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    path, rc = {
        "bash": (data / "bash-completion" / "completions" / "dv", home / ".bashrc"),
        "zsh": (data / "zsh" / "site-functions" / "_dv", Path(os.environ.get("ZDOTDIR") or home) / ".zshrc"),
        "fish": (config / "fish" / "completions" / "dv.fish", None),
    }[shell]
    with written_aside(path) as partial:
        partial.write_text(script(shell), encoding="utf-8")
    # Fish looks into that folder by itself. Bash does where bash-completion is installed, zsh never.
    return path, rc if rc is not None and _add_line(rc, f"source {shlex.quote(str(path))}") else None


def _add_line(rc: Path, line: str) -> bool:
    """Add a line to the end of a file that lacks it. A link stays a link, as people keep these files elsewhere."""
    before = rc.read_bytes() if rc.exists() else b""
    if os.fsencode(line) in before.splitlines():
        return False
    with written_aside(rc.resolve()) as partial:
        partial.write_bytes(
            before + (b"" if before.endswith(b"\n") or not before else b"\n") + os.fsencode(line) + b"\n"
        )
        if rc.exists():
            partial.chmod(rc.stat().st_mode)
    return True


if __name__ == "__main__":
    for written in write_scripts(Path(sys.argv[1] if len(sys.argv) > 1 else "completions")):
        Out().result(str(written), None)
