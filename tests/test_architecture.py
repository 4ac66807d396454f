"""Who may know whom: the command knows engine and registry, these two know nobody; torch comes late."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("dreamvideo_cli", "engine", "registry")
HEAVY = {"torch", "diffusers", "transformers", "accelerate"}
LIGHT = [
    "engine.bases.location",
    "engine.data.clips",
    "engine.data.images",
    "engine.errors",
    "engine.evaluation.pages.report",
    "engine.evaluation.pages.study",
    "engine.media.metadata",
    "engine.media.video",
    "engine.methods.dreamvideo",
    "engine.methods.table",
    "engine.planning",
    "engine.prompts",
    "engine.settings",
    "dreamvideo_cli.main",
    "registry",
]


def modules() -> dict[str, Path]:
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(node: ast.AST, *, everywhere: bool) -> Iterator[str]:
    """Names of modules that `node` imports; those inside functions, or only for types, count `everywhere` alone."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield str(node.module)
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
        isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    )
    if everywhere or not late:
        for child in ast.iter_child_nodes(node):
            yield from imported(child, everywhere=everywhere)


@cache
def imports_of(module: str, *, everywhere: bool) -> frozenset[str]:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    return frozenset(imported(tree, everywhere=everywhere))


def roots(module: str, *, everywhere: bool = True) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(module, everywhere=everywhere)}


def loaded_with(module: str) -> set[str]:
    """All that importing `module` imports, through the modules of this project."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            waiting += imports_of(name, everywhere=False)
            if "." in name:
                waiting.append(name.rpartition(".")[0])
    return {name.partition(".")[0] for name in seen}


def test_the_check_sees_imports_of_every_form() -> None:
    source = (
        "import a.b\nfrom c.d import e\ndef f():\n    import g\n"
        "if TYPE_CHECKING:\n    import h\ntry:\n    import i\nfinally: ..."
    )
    tree = ast.parse(source)
    assert set(imported(tree, everywhere=False)) == {"a.b", "c.d", "c.d.e", "i"}
    assert set(imported(tree, everywhere=True)) == {"a.b", "c.d", "c.d.e", "g", "h", "i"}
    assert loaded_with("engine.learning") >= {"torch", "diffusers", "transformers"}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("engine")])
def test_engine_knows_neither_registry_nor_command(module: str) -> None:
    assert not roots(module) & {"registry", "dreamvideo_cli"}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("registry")])
def test_registry_knows_neither_engine_nor_command_nor_torch(module: str) -> None:
    assert not roots(module) & {"engine", "dreamvideo_cli", *HEAVY}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("dreamvideo_cli")])
def test_the_command_loads_torch_only_when_a_job_runs(module: str) -> None:
    assert not roots(module, everywhere=False) & HEAVY
    assert not loaded_with(module) & HEAVY


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("dreamvideo_cli.jobs")])
def test_jobs_know_no_terminal(module: str) -> None:
    above = {"dreamvideo_cli.terminal", "dreamvideo_cli.commands", "dreamvideo_cli.main"}
    assert not roots(module) & {"typer", "click", "rich"}
    assert not {part for name in imports_of(module, everywhere=True) for part in above if name.startswith(part)}


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith("dreamvideo_cli.terminal")])
def test_the_terminal_knows_no_command(module: str) -> None:
    assert not any(name.startswith("dreamvideo_cli.commands") for name in imports_of(module, everywhere=True))


def test_jobs_load_no_terminal() -> None:
    """In a process of its own, whatever imports whom."""
    jobs = [m for m in MODULES if m.startswith("dreamvideo_cli.jobs")]
    code = f"import sys, {', '.join(jobs)}; print(*sorted({{'typer', 'click', 'rich'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_no_torch(module: str) -> None:
    """In a process of its own, whatever imports whom."""
    code = f"import sys, {module}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
