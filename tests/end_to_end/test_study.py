"""`dv study`: a page made, answered in a real browser, its answers saved and counted."""

from __future__ import annotations

import base64
import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.browsing import chromium, opened, overflow, until
from tests.end_to_end.sample_suite import Plan, write_suite

METHODS = ("dreamvideo", "lora", "modelscope")
QUESTIONS = ("text_alignment", "subject_fidelity", "motion_fidelity", "temporal_consistency")


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three methods on one subject and motion: two pairs with DreamVideo."""
    return write_suite(tmp_path_factory.mktemp("suites") / "small", Plan(METHODS, ("fox",), ("zigzag",)))


def method_at(key: Path, ballot: int, side: str) -> str:
    return str(json.loads(key.read_text(encoding="utf-8"))["ballots"][ballot][side])


def side_of(key: Path, ballot: int, method: str) -> str:
    return "left" if method_at(key, ballot, "left") == method else "right"


def saved(page: Any, folder: Path) -> Path:
    with page.expect_download() as download:
        page.locator("#save").click()
    file = folder / str(download.value.suggested_filename)
    download.value.save_as(file)
    return file


def test_a_page_tells_nobody_whose_videos_they_are(dv: Any, suite: Path, tmp_path: Path) -> None:
    done = dv("study", "make", suite, "-o", "study.html", "--json")
    data = json.loads(done.out)
    assert (data["path"], data["key"], data["ballots"]) == ("study.html", "study.key.json", 2)
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    embedded = re.findall(r'data-type="video/mp4">([^<]+)<', page)
    assert len(embedded) == 3 + 2
    contents = [base64.b64decode(text) for text in embedded]
    assert not any(method in page or any(method.encode() in c for c in contents) for method in METHODS)
    # The suite's own files do say it.
    assert b"dreamvideo" in (suite / "videos" / "0000.mp4").read_bytes()
    assert "study.html exists" in dv("study", "make", suite, "-o", "study.html", check=2).err
    assert "no video by 'nobody'" in dv("study", "make", suite, "-o", "s.html", "--method", "nobody", check=2).err


def test_answers_are_given_kept_saved_and_counted(dv: Any, suite: Path, tmp_path: Path) -> None:
    dv("study", "make", suite, "-o", "study.html")
    key = tmp_path / "study.key.json"
    with chromium() as browser:
        with opened(browser, tmp_path / "study.html") as page:
            page.locator("#name").fill("Ann B.")
            page.locator("#begin").click()
            until(page, "[...clock.videos].filter((v) => v.readyState > 1).length === 4")
            # By keyboard: DreamVideo for every question of the first pair.
            for _ in QUESTIONS:
                page.keyboard.press("ArrowLeft" if side_of(key, 0, "dreamvideo") == "left" else "ArrowRight")
            page.keyboard.press("Enter")
            assert page.locator("#pair-title").inner_text() == "Pair 2 of 2"
            # By mouse: the other method for all but the last.
            other = "left" if side_of(key, 1, "dreamvideo") == "right" else "right"
            for question in QUESTIONS[:3]:
                page.locator(f"[name={question}][value={other}]").check()
            page.reload()
            # What was answered is still there, and the first open pair is shown.
            assert page.locator("#name").input_value() == "Ann B."
            page.locator("#begin").click()
            assert page.locator("#pair-title").inner_text() == "Pair 2 of 2"
            assert page.locator(f"[name={QUESTIONS[0]}][value={other}]").is_checked()
            page.locator("#next").click()
            assert "1 of 2 pairs have open questions" in page.locator("#open").inner_text()
            first = saved(page, tmp_path)
        with opened(browser, tmp_path / "study.html", viewport={"width": 390, "height": 844}) as page:
            page.locator("#begin").click()
            assert (overflow(page), page.evaluate("clock.playing")) == (0, False)
            for number in (0, 1):
                for question in QUESTIONS:
                    page.locator(f"[name={question}][value={side_of(key, number, 'dreamvideo')}]").check()
                page.locator("#next").click()
            second = saved(page, tmp_path)
    assert first.name == "answers-ann-b.json"
    done = dv("study", "tally", "study.key.json", first.name, second.name, "--json", "--csv", "votes.csv")
    data = json.loads(done.out)
    (table,) = data["tables"]
    beaten, tied = method_at(key, 0, _elsewhere(key, 0)), method_at(key, 1, _elsewhere(key, 1))
    shares = {row["other"]: row["shares"] for row in table["rows"]}
    assert (table["table"], data["raters"], set(shares)) == ("4", 2, {beaten, tied})
    assert all((share["ours"], share["ties"]) == (1, 0) for share in shares[beaten].values())
    assert [(s["ours"], s["ties"]) for s in shares[tied].values()] == [(0, 1)] * 3 + [(1, 0)]
    rows = list(csv.DictReader((tmp_path / "votes.csv").open(encoding="utf-8")))
    assert [row["verdict"] for row in rows] == ["dreamvideo"] * 4 + ["tie"] * 3 + ["dreamvideo"]
    shown = dv("study", "tally", "study.key.json", first.name, second.name).out
    assert "100 : 0" in shown and "0 : 0 : 100" in shown and "Krippendorff" in shown
    (tmp_path / "votes.json").write_text(done.out, encoding="utf-8")
    dv("report", suite, "-o", "report.html", "--votes", "votes.json")
    assert "What 2 people chose, dreamvideo against others" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "holds no counted votes" in dv("report", suite, "-o", "r.html", "--votes", "study.key.json", check=2).err
    refused = dv("study", "tally", "study.key.json", first.name, first.name, check=2)
    assert (refused.out, "by the same rater" in refused.err) == ("", True)


def _elsewhere(key: Path, ballot: int) -> str:
    return "left" if side_of(key, ballot, "dreamvideo") == "right" else "right"
