"""Batch files of three formats come out as the same rows; what is wrong is named with its line."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamvideo_cli.jobs.batch.files import Format, read_rows
from dreamvideo_cli.jobs.batch.rows import request_of
from engine.errors import EngineError, InputError

HERE = Path("folder")


def rows_of(tmp_path: Path, text: str | bytes, format: Format) -> list[dict[str, object]]:
    file = tmp_path / f"rows.{format}"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [dict(row.values) for row in read_rows(str(file), None)]


def test_one_batch_in_three_formats(tmp_path: Path) -> None:
    csv = 'prompt,Guidance-Scale,seed,deterministic\r\n"a dog, running",2.5,3,yes\r\n\r\n"two\r\nlines",,,\r\n'
    jsonl = (
        '{"prompt": "a dog, running", "guidance_scale": 2.5, "seed": 3, "deterministic": true}\n\n'
        '{"prompt": "two\\r\\nlines", "seed": null}'
    )
    toml = (
        '[[job]]\nprompt = "a dog, running"\nguidance-scale = 2.5\nseed = 3\ndeterministic = true\n'
        '[[job]]\nprompt = "two\\r\\nlines"\n'
    )
    requests = []
    for format, text in (("csv", csv), ("jsonl", jsonl), ("toml", toml)):
        file = tmp_path / f"rows.{format}"
        file.write_bytes(b"\xef\xbb\xbf" + text.encode() if format != "toml" else text.encode())
        requests.append([request_of(row, HERE) for row in read_rows(str(file), None)])
    assert requests[0] == requests[1] == requests[2]
    first, second = requests[0]
    assert (first.prompt, first.seed, first.deterministic) == ("a dog, running", 3, True)
    assert first.settings == {"guidance_scale": 2.5}
    assert (second.prompt, second.seed, second.settings) == ("two\r\nlines", 0, {})
    assert [request.output for request in requests[0]] == [HERE / "001-a-dog-running.mp4", HERE / "002-two-lines.mp4"]


def test_a_grid_is_every_combination_its_last_list_first(tmp_path: Path) -> None:
    rows = rows_of(
        tmp_path,
        '[defaults]\nsteps = 20\nsize = [32, 16]\n[[grid]]\nprompt = ["a", "b"]\nmotion = "walk"\nseed = [1, 2]\n'
        'steps = 30\n[[job]]\nprompt = "c"\n',
        "toml",
    )
    assert rows[0] == {"steps": 20, "size": [32, 16], "prompt": "c"}
    assert [(row["prompt"], row["seed"], row["steps"], row["motion"]) for row in rows[1:]] == [
        ("a", 1, 30, "walk"), ("a", 2, 30, "walk"), ("b", 1, 30, "walk"), ("b", 2, 30, "walk"),
    ]  # fmt: skip


def test_outputs_are_filled_in_and_values_that_look_like_options_stay_values(tmp_path: Path) -> None:
    (row,) = read_rows(
        str(_file(tmp_path, '{"prompt": "--force", "subject": "fox@2", "motion": "run", "negative_prompt": "-x",'
                            ' "output": "{subject}-{motion}-{row}-{seed}.gif", "size": [32, 16]}')), None
    )  # fmt: skip
    request = request_of(row, HERE)
    assert (request.prompt, request.force, request.settings["negative_prompt"]) == ("--force", False, "-x")
    assert (request.output, request.settings["size"]) == (Path("fox@2-run-001-{seed}.gif"), (32, 16))


@pytest.mark.parametrize(
    ("format", "text", "said"),
    [
        ("csv", "", "no rows"),
        ("csv", "prompt,seed\n", "no rows"),
        ("csv", "prompt,seed\na,1,2\n", "line 2 has 3 cells"),
        ("csv", "prompt,Prompt\na,b\n", "prompt twice"),
        ("csv", 'prompt\n"a', "line 2 is no CSV"),
        ("csv", b"prompt\n\xff\n", "isn't UTF-8"),
        ("jsonl", '{"prompt": "a"}\n{"prompt"', "line 2 is no JSON"),
        ("jsonl", "[1]", "line 1 is no JSON object"),
        ("jsonl", "7", "line 1 is no JSON object"),
        ("jsonl", '{"seed": 1, "seed": 2}', "seed twice"),
        ("jsonl", "[" * 100_000, "line 1 is no JSON"),
        ("toml", "prompt = ", "no TOML"),
        ("toml", 'prompt = "a"', "prompt is no part of a batch"),
        ("toml", 'job = "a"', "list of tables"),
        ("toml", "defaults = 1", "must be a table"),
        ("toml", "[[grid]]\nprompt = []", "nothing in its list prompt"),
        ("toml", "[[grid]]\n" + "\n".join(f"c{n} = [1,2,3,4,5,6,7,8,9,0]" for n in range(6)), "combinations"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_says_where(tmp_path: Path, format: Format, text: str | bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        rows_of(tmp_path, text, format)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("{}", "prompt is missing"),
        ('{"prompt": "  "}', "prompt is missing"),
        ('{"prompt": "a", "sed": 1}', "did you mean seed"),
        ('{"prompt": "a", "qqqq": 1}', "columns are: prompt, subject"),
        ('{"prompt": "a", "json": true}', "no column json"),
        ('{"prompt": "a", "seed": "x"}', "`seed`"),
        ('{"prompt": "a", "seed": -1}', "`seed`"),
        ('{"prompt": "a", "steps": 2.5}', "`steps`"),
        ('{"prompt": "a", "size": [1, 2, 3]}', "`size` is"),
        ('{"prompt": {"a": 1}}', "`prompt` is"),
        ('{"prompt": "a", "force": "perhaps"}', "write yes or no"),
        ('{"prompt": "a", "device": "tpu"}', "`device`"),
        ('{"prompt": "a", "output": "a\\u0000.mp4"}', "zero byte"),
    ],
)
def test_a_row_that_compose_would_not_take_says_why(tmp_path: Path, values: str, said: str) -> None:
    (row,) = read_rows(str(_file(tmp_path, values)), None)
    with pytest.raises(InputError, match=said):
        request_of(row, HERE)


def test_stdin_needs_a_format_and_so_does_an_unknown_suffix(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(b"prompt\na\n")

    monkeypatch.setattr(sys, "stdin", Stdin)
    assert read_rows("-", "csv")[0].values == {"prompt": "a"}
    for file in ("-", "rows.txt", "rows"):
        with pytest.raises(InputError, match="`format`"):
            read_rows(file, None)
    with pytest.raises(InputError, match="No such file"):
        read_rows("nowhere.csv", None)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["csv", "jsonl", "toml"]), st.binary(max_size=200))
def test_no_bytes_bring_anything_but_rows_or_a_message(
    tmp_path_factory: pytest.TempPathFactory, format: Any, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / f"fuzz.{format}"
    file.write_bytes(content)
    try:
        for row in read_rows(str(file), None):
            request_of(row, HERE)
    except EngineError as error:
        assert str(error)


def _file(tmp_path: Path, line: str) -> Path:
    (tmp_path / "rows.jsonl").write_text(line, encoding="utf-8")
    return tmp_path / "rows.jsonl"
