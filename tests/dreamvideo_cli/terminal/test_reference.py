"""What the docs say of the command: the reference is current, and the page on scripting runs as it stands."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from dreamvideo_cli.terminal.reference import commands, reference
from engine.bases.location import EMBEDDED
from registry import Registry
from tests.dreamvideo_cli import preloaded

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


def test_the_reference_is_current_and_whole() -> None:
    page = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert page == reference(), "run: make docs"
    for name, command in commands():
        assert f"\n## {name}\n" in page
        for parameter in command.params:
            assert parameter.help or parameter.name == "help", f"{name}: {parameter.name} has no help"
            assert all(f"`{flag}`" in page for flag in parameter.opts if flag.startswith("-"))


def test_links_lead_somewhere() -> None:
    for page in (*DOCS.glob("*.md"), ROOT / "README.md"):
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
        anchors = {"#" + heading.strip().lower().replace(" ", "-") for heading in re.findall(r"(?m)^#+ (.*)$", text)}
        assert set(re.findall(r"\]\((#[^)]+)\)", text)) <= anchors


def test_the_page_on_scripting_runs(adapters: None, home: Path, tmp_path: Path) -> None:
    # A default base that recommends very little makes the examples quick as they stand.
    small = tmp_path / "small-base"
    shutil.copytree(EMBEDDED.model, small, copy_function=os.symlink)
    little = {"steps": 2, "frames": 2, "size": [16, 16], "guidance_scale": 1, "offset_noise": 0}
    (small / "recommended.json").unlink()
    (small / "recommended.json").write_text(json.dumps({"compose": little}), encoding="utf-8")
    with Registry.open() as registry:
        fingerprint = registry.find("fox").base_fingerprint
        registry.add_base("small", str(small), fingerprint=fingerprint)
        registry.use_base("small")
    examples = re.findall(r"```sh\n(.*?)```", (DOCS / "scripting.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 6
    work = tmp_path / "work"
    work.mkdir()
    with preloaded.command() as dv:
        path = {"PATH": f"{dv.parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "".join(examples)],
            cwd=work, env={**os.environ, **path}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "snow-fox.gif",
        "beach-1.mp4",
        "shots/002-a-fox-in-the-snow-at-night.mp4",
        "1 made beach-1.mp4",
        "2 made shots/002-a-fox-in-the-snow-at-night.mp4",
        *(f"seeds/{n:03}-a-fox-walking.mp4" for n in (1, 2, 3)),
        "asleep.gif",
        *(
            f"grid/{n:03}-a-fox-walking-{place}.mp4"
            for n, place in enumerate(["in-a-park"] * 3 + ["on-the-moon"] * 3, 2)
        ),
        "this can't be done: error: There is no subject named 'nobody'. There is: fox.",
    ]
    assert json.loads((work / "how-it-was-made.json").read_text(encoding="utf-8"))["settings"]["steps"] == 2
    made = {str(path.relative_to(work)) for path in work.rglob("*") if path.suffix in (".mp4", ".gif")}
    assert made == {"fox.mp4", *done.stdout.splitlines()[:3], *done.stdout.splitlines()[5:8]}
