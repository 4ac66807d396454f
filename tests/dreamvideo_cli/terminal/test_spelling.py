"""Errors name settings by field; at the terminal they are the options of the command that runs."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("subject", "learn", "fox", "photo.png", "--class", "dog", "--token-steps", "-1"), "--token-steps is -1: it"),
        (("subject", "learn", "fox", "photo.png"), "--class is missing: give the word for what the subject is, as in "
                                                   "--class dog"),
        (("subject", "learn", "fox", "photo.png", "--class", " "), "--class is empty"),
        (("subject", "learn", "fox", "--resume", "--restart"), "--resume goes on with a run and --restart drops it"),
        (("subject", "learn", "fox", "photo.png", "--class", "dog", "--method", "lora", "--token-steps", "3"),
         "--token-steps is not for --method lora"),
        (("motion", "learn", "walk", "photo.png", "--method", "odd"), "--method is one of"),
        (("compose", "a *"), "no subject: name it with --subject"),
        (("compose", "a dog", "--size", "63x64"), "--size 63x64 does not fit"),
        (("compose", "a dog", "--motion-until", "0.5"), "--motion-until is read with a motion only: name one with "
                                                        "--motion, or"),
        (("compose", "a dog", "--appearance", "photo.png"), "--appearance guides a motion's appearance: give one with "
                                                            "--motion"),
        (("eval", "photo.png", "--subject", "a", "--references", "b"), "--subject compares with what it learnt from, "
                                                                       "--references with"),
        (("base", "show", "odd"), "there is no base 'odd'"),
    ],
)  # fmt: skip
def test_fields_are_options_of_the_command(dv: Any, tmp_path: Any, arguments: tuple[str, ...], said: str) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")
    done = dv(*arguments)
    assert (done.code, done.out) == (2, "")
    assert said in " ".join(done.err.split())
    assert "`" not in done.err


def test_what_is_no_option_of_the_command_stays_a_field(dv: Any, tmp_path: Any) -> None:
    (tmp_path / "rows.csv").write_text("prompt,steps\na,0\n")
    assert "row 1: `steps` is 0" in dv("batch", "rows.csv").err
