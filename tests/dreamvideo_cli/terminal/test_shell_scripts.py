"""The completion scripts in real shells: typed into a terminal, with a tab, and what arrives at `dv` is looked at."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shlex
import shutil
import signal
import struct
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

from dreamvideo_cli.terminal.shell_scripts import write_scripts
from registry import Registry

ROOT = Path(__file__).parents[3]
PATIENCE_S = 90.0

TYPED = [
    ("dv lis\t", ["list"]),
    ("dv subject le\tfo", ["subject", "learn", "fo"]),
    ("dv show ch\t", ["show", "chowchow"]),
    ("dv show chowchow@\t2", ["show", "chowchow@2"]),
    ("dv rm walk@\twalk@1\t", ["rm", "walk@1", "walk@1"]),
    ("dv show walk@1:\t", ["show", "walk@1:400"]),
    ("dv compose x --motion=walk:\t", ["compose", "x", "--motion=walk:400"]),
    ("dv list --rev\t", ["list", "--reverse"]),
    ("dv compose 'a * is' --subject 狐\t", ["compose", "a * is", "--subject", "狐狸"]),
    ("dv compose x --motion=wa\t", ["compose", "x", "--motion=walk"]),
    ("dv compose x --base b\t", ["compose", "x", "--base", "big-base"]),
    ("dv compose x --device cu\t", ["compose", "x", "--device", "cuda"]),
    ("dv inspect a-fi\t", ["inspect", "a-film.mp4"]),
    ("dv batch shots/ro\t", ["batch", "shots/rows.csv"]),
]
"""What is typed, and the arguments that `dv` must be run with. Versions 1 and 2 of chowchow share their start."""


def shell_or_skip(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        assert not os.environ.get("CI"), f"{name} isn't installed, and CI must test it"
        pytest.skip(f"{name} isn't installed")
    return found


class Terminal:
    """A shell in a terminal of its own."""

    def __init__(self, command: list[str], environment: dict[str, str], folder: Path) -> None:
        self.shown = b""
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            # Before the shell starts: it draws its first line for the size that it finds.
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
            os.chdir(folder)
            os.execvpe(command[0], command, environment)

    def type(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def until(self, happened: Any) -> None:
        """Read what the shell shows until something has happened."""
        deadline = time.monotonic() + PATIENCE_S
        while not happened():
            assert time.monotonic() < deadline, self.shown.decode(errors="replace")
            if select.select([self.terminal], [], [], 0.05)[0]:
                self.shown += os.read(self.terminal, 65536)

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.terminal)


@pytest.fixture
def environment(tmp_path: Path, home: Path, publish: Any) -> dict[str, str]:
    """A home for a shell, with a `dv` that answers tab presses and writes down what it is run with."""
    for name, kind in (("chowchow", "subject"), ("chowchow", "subject"), ("狐狸", "subject"), ("walk", "motion")):
        publish(name, kind=kind)
    with Registry.open() as registry:
        registry.add_base("big-base", "/models/big", fingerprint="f" * 64)
    (home / "adapters" / "walk" / "1" / "learning" / "steps" / "400").mkdir(parents=True)
    (tmp_path / "a-film.mp4").touch()
    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "rows.csv").touch()
    # A new user's fish reads every manual page of the machine, unless it finds that done.
    (tmp_path / ".local" / "share" / "fish" / "generated_completions").mkdir(parents=True)
    bin = tmp_path / "bin"
    bin.mkdir()
    real = f"{shlex.quote(sys.executable)} -m dreamvideo_cli"
    log = shlex.quote(str(tmp_path / "log"))
    (bin / "dv").write_text(
        f'#!/bin/sh\n[ -n "$_DV_COMPLETE" ] && exec {real} "$@"\n'
        f'for word in "$@"; do printf "%s\\n" "$word"; done > {log}.new\nmv {log}.new {log}\n',
        encoding="utf-8",
    )
    (bin / "dv").chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    changed = {
        "HOME": str(tmp_path), "PATH": f"{bin}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8", "TERM": "xterm",
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    return kept | changed


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_is_typed_with_a_tab_arrives_whole(
    shell: str, dv: Any, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shell_or_skip(shell)
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert dv("completion", "install", shell).code == 0
    log = tmp_path / "log"
    terminal = Terminal([program, "-i"], environment, tmp_path)
    try:
        terminal.type("dv ready\r")
        terminal.until(log.exists)
        for typed, arguments in TYPED:
            log.unlink()
            terminal.type(typed + "\r")
            terminal.until(log.exists)
            assert log.read_text(encoding="utf-8").splitlines() == arguments, terminal.shown.decode(errors="replace")
        # Where several names begin alike, they are shown.
        terminal.shown = b""
        terminal.type("dv show \t\t")
        terminal.until(lambda: all(name.encode() in terminal.shown for name in ("chowchow", "walk", "狐狸")))
    finally:
        terminal.close()


def test_the_scripts_are_current(tmp_path: Path) -> None:
    for made in write_scripts(tmp_path):
        kept = ROOT / "completions" / made.name
        assert kept.read_text(encoding="utf-8") == made.read_text(encoding="utf-8"), "run: make docs"


@pytest.mark.parametrize(
    ("shell", "path", "rc"),
    [
        ("bash", ".local/share/bash-completion/completions/dv", ".bashrc"),
        ("zsh", ".local/share/zsh/site-functions/_dv", ".zshrc"),
        ("fish", ".config/fish/completions/dv.fish", None),
    ],
)
def test_installing_twice_adds_one_line_and_keeps_the_rest(
    dv: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, path: str, rc: str | None
) -> None:
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SHELL", f"/usr/bin/{shell}")
    if rc:
        # Kept elsewhere and linked, as many do; not UTF-8, and without a newline at its end.
        (tmp_path / "kept").write_bytes(b"alias x='\xff'")
        (tmp_path / rc).symlink_to(tmp_path / "kept")
    for _ in range(2):
        done = dv("completion", "install")
        assert (done.code, done.out) == (0, f"{tmp_path / path}\n")
    assert dv("completion", "show", shell).out == (tmp_path / path).read_text(encoding="utf-8")
    if rc:
        assert (tmp_path / rc).is_symlink()
        assert (tmp_path / "kept").read_bytes() == b"alias x='\xff'\nsource " + os.fsencode(tmp_path / path) + b"\n"


def test_an_unknown_shell_is_named(dv: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    for command in ("install", "show"):
        done = dv("completion", command)
        assert (done.code, done.out) == (2, "")
        assert "tcsh" in done.err
    assert dv("completion", "show", "tcsh").code == 2
