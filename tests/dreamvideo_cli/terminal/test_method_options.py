"""`--method`: which there are, whose options are whose, and that what was learnt composes by its own words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamvideo_cli.main import run
from dreamvideo_cli.terminal.completion import method_names
from tests.rendering import MATERIAL

FOX = ("subject", "learn", "rex", str(MATERIAL / "rex"), "--class", "fox")
ZIGZAG = ("motion", "learn", "spin", str(MATERIAL / "zigzag"))
Dv = Callable[..., tuple[int, str, str]]


@pytest.fixture
def dv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Dv:
    """Run `dv` in this process, in a home and a folder of its own; give exit code, stdout, stderr."""
    monkeypatch.setenv("DV_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(arguments)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_completion_offers_methods_by_kind() -> None:
    assert method_names("subject")("dream") == [
        "dreamvideo", "dreamvideo-no-token", "dreamvideo-no-adapter", "dreamvideo-width-32", "dreamix",
    ]  # fmt: skip
    assert "dreamix" not in method_names("motion")("")
    assert method_names("motion")("l") == ["lora", "lora-query-key"]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((*FOX, "--method", "dreambooth"), "no method 'dreambooth' to learn a subject: --method is one of dreamvideo,"),
        ((*ZIGZAG, "--method", "dreamix"), "no method 'dreamix' to learn a motion"),
        ((*FOX, "--method", "dreamix", "--rank", "4"), "--rank is not for --method dreamix: it is read by lora"),
        ((*ZIGZAG, "--method", "lora", "--no-appearance-guidance"), "it is read by dreamvideo, dreamvideo-no-guidance"),
        ((*FOX, "--rank", "4"), "--rank is not for --method dreamvideo: it is read by lora"),
        ((*FOX, "--method", "dreamix", "--identifier", "a dog"), '--identifier is "a dog": it must be one word'),
        ((*FOX, "--no-textual-identity", "--token-steps", "5"), "--token-steps is read with --textual-identity only"),
        ((*FOX, "--method", "dreamvideo-no-token", "--token-prompt", "a *"), "which is off here"),
        ((*FOX, "--no-identity-adapter", "--hidden-width", "8"), "--hidden-width is read with --identity-adapter only"),
        ((*ZIGZAG, "--no-appearance-guidance", "--p-image-zero", "0.2"), "--p-image-zero is read with --appearance-g"),
        ((*ZIGZAG, "--method", "dreamvideo-serial", "--placement", "parallel"), "--placement is what"),
    ],
)
def test_what_does_not_go_together_is_bad_input(dv: Dv, command: tuple[str, ...], said: str) -> None:
    code, out, err = dv(*command)
    assert (code, out) == (2, "")
    assert said in err


def test_a_dry_run_tells_the_method_its_parts_and_its_settings(dv: Dv) -> None:
    code, out, _err = dv(*FOX, "--method", "lora", "--rank", "4", "--dry-run", "--json")
    told = json.loads(out)
    assert (code, told["method"], told["steps"].keys()) == (0, "lora", {"lora"})
    assert told["settings"]["rank"] == {"value": 4, "origin": "option"}
    assert "token_steps" not in told["settings"]


def test_a_dry_run_shows_what_only_the_authors_files_say(dv: Dv) -> None:
    code, _, shown = dv(*ZIGZAG, "--method", "dreamvideo-attention", "--dry-run")
    assert code == 0
    assert re.search(r"appearance_strength +1 +authors", shown) and re.search(r"layers +attention +method", shown)
    assert not re.search(r"\bpaper$|\bdv$", shown, re.MULTILINE)


def test_an_identifier_calls_the_subject_in_a_prompt_of_any_form(dv: Dv, tmp_path: Path) -> None:
    assert dv(*FOX, "--method", "dreamix", "--steps", "2")[:2] == (0, "rex@1\n")
    assert dv(*ZIGZAG, "--method", "lora", "--steps", "2")[:2] == (0, "spin@1\n")
    assert [row["method"] for row in json.loads(dv("list", "--json")[1])] == ["dreamix", "lora"]
    few = ("--subject", "rex", "--motion", "spin", "--steps", "2", "--frames", "2")
    videos = []
    for number, prompt in enumerate(("a * on the beach", "a sks fox on the beach", "a rex on the beach")):
        assert dv("compose", prompt, *few, "-o", f"{number}.mp4")[0] == 0
        videos.append((tmp_path / f"{number}.mp4").read_bytes())
    assert videos[0] == videos[1] == videos[2]
    code, _, err = dv("compose", "a fox on the beach", *few)
    assert code == 2
    assert "has no place for rex" in err
