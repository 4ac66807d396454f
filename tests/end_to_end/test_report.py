"""`dv report`, looked at in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.evaluation.pages.report import make_report
from engine.evaluation.suites.results import read_results
from tests.end_to_end.browsing import chromium, opened, overflow, until
from tests.end_to_end.sample_suite import Plan, write_suite

HOSTILE = "a * </script><script>window.hurt = 1</script> {motion} & co"
IN_VIEW = "document.getElementById('videos').scrollIntoView({behavior: 'instant'})"
SHOWN = "[...document.querySelectorAll('.shot:not([hidden])')].filter((shot) => !shot.closest('[hidden]'))"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three methods on two subjects, one motion and a prompt that would do harm; the second cell failed."""
    folder = tmp_path_factory.mktemp("suites") / "small"
    return write_suite(folder, Plan(motions=("zigzag",), prompts=(HOSTILE,)), failing=[1])


@pytest.fixture(scope="module")
def page_file(suite: Path) -> Path:
    file = suite.parent / "page.html"
    file.write_text(make_report(read_results(suite), suite).html, encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def ready(page: Any, videos: int) -> None:
    page.evaluate(IN_VIEW)
    until(page, f"[...clock.videos].filter((v) => v.readyState > 1).length === {videos}")


def test_the_command_writes_a_page_and_tells_its_numbers(dv: Any, suite: Path, tmp_path: Path) -> None:
    done = dv("report", suite, "-o", "report.html", "--json")
    data = json.loads(done.out)
    page = tmp_path / "report.html"
    assert (data["path"], data["bytes"], data["videos"], data["failed"]) == (
        "report.html", page.stat().st_size, 5, 1,
    )  # fmt: skip
    assert [table["table"] for table in data["tables"]] == ["1", None]
    ours = data["tables"][0]["rows"][-1]
    scores = [r.scores["clip_t"] for r in read_results(suite) if r.cell.method == "dreamvideo"]
    assert ours["figures"]["clip_t"]["mean"] == pytest.approx(sum(s for s in scores if s) / 2)
    assert "5 videos, 1 failed; " in done.err
    refused = dv("report", suite, "-o", "report.html", check=2)
    assert "report.html exists" in refused.err and refused.out == ""
    again = page.read_bytes()
    dv("report", suite, "-o", "report.html", "--force", "--quiet")
    assert page.read_bytes() == again


def test_the_suites_own_report_is_written_anew_unasked(dv: Any, suite: Path) -> None:
    for arguments, comparisons in ((["--comparisons", "1"], 1), ([], 2)):
        done = dv("report", suite, "--json", *arguments)
        data = json.loads(done.out)
        assert (data["path"], data["comparisons"]) == (str(suite / "report.html"), comparisons)
        assert ("1 of 2 comparisons shown; --comparisons N" in done.err) == (comparisons == 1)
    (suite / "report.html").unlink()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "nowhere"], "nowhere holds no results of a suite"),
        (["report", "SUITE", "-o", "report.pdf"], "report.pdf must end in .html"),
        (["report", "SUITE", "-o", "nowhere/report.html"], "its folder is missing"),
    ],
)
def test_what_cannot_be_done_is_told(dv: Any, suite: Path, arguments: list[str], said: str) -> None:
    done = dv(*(str(suite) if word == "SUITE" else word for word in arguments), check=2)
    assert (said in done.err, done.out) == (True, "")


def test_files_that_are_gone_or_changed_are_told(suite: Path, tmp_path: Path) -> None:
    folder = write_suite(
        tmp_path / "suite", Plan(subjects=("fox",), motions=("zigzag",), methods=("dreamvideo", "lora"))
    )
    (folder / "videos" / "0000.mp4").unlink()
    (folder / "videos" / "0001.mp4").write_bytes((suite / "videos" / "0000.mp4").read_bytes())
    report = make_report(read_results(folder), folder)
    assert [problem.split("/")[-1].split(",")[0] for problem in report.problems] == [
        "0000.mp4 is missing",
        "0001.mp4 has changed since it was scored: its figures are not of what is shown. Run the suite again.",
    ]
    assert "videos/0001.mp4 has changed since it was scored" in report.html
    lines = (folder / "results.jsonl").read_text(encoding="utf-8").replace("references/fox/1.png", "../../../etc/hosts")
    (folder / "results.jsonl").write_text(lines, encoding="utf-8")
    assert any("lies outside" in problem for problem in make_report(read_results(folder), folder).problems)


def test_the_page_shows_everything_and_runs_nothing_of_a_prompt(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        assert page.title() == "small: report"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the tables"
        assert page.evaluate("window.hurt") is None
        assert page.locator(".comparison q").first.inner_text() == HOSTILE.format(motion="zigzagging")
        assert page.locator("figure.table").count() == 2
        first = page.locator("figure.table").first.locator("tbody").first
        assert first.locator("tr").nth(2).locator("th").inner_text() == "DreamVideo"
        assert first.locator("tr").nth(2).locator(".rank.first").count() == 4
        failed = page.locator(".failures tbody tr")
        assert (failed.count(), "stopped being a number" in failed.inner_text()) == (1, True)
        page.locator(".made summary").first.click()
        link = page.locator(".made[open] a").first
        link.click()
        assert "#" + str(page.locator("details.adapter[open]").get_attribute("id")) == link.get_attribute("href")
        assert page.locator("svg polyline").count() > 6


def test_a_page_of_tables_alone_works(browser: Any, suite: Path, tmp_path: Path) -> None:
    file = tmp_path / "tables.html"
    file.write_text(make_report(read_results(suite), suite, most=0).html, encoding="utf-8")
    with opened(browser, file) as page:
        assert (page.locator("figure.table").count(), page.locator(".comparison").count()) == (2, 0)
        link = page.locator("details.adapter").first.get_attribute("id")
        page.evaluate(f"location.hash = {json.dumps(link)}")
        until(page, "document.querySelector('details.adapter[open]') !== null")


def test_filters_leave_what_was_chosen(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        methods = f"{SHOWN}.map((shot) => shot.dataset.method).join()"
        assert page.evaluate(methods) == ",".join(["dreamvideo,lora,modelscope"] * 2)
        page.locator("[name=method][value=lora]").uncheck()
        page.locator("[name=subject]").select_option("=taxi")
        assert page.evaluate(methods) == "dreamvideo,modelscope"
        assert page.locator(".count").inner_text() == "1 of 2 comparisons shown"
        for method in ("dreamvideo", "modelscope"):
            page.locator(f"[name=method][value={method}]").uncheck()
        assert page.locator(".nothing").is_visible()


def test_videos_keep_step_and_obey_keys(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file, reduced_motion="no-preference") as page:
        ready(page, videos=9)  # five that were made, and two clips of the motion twice
        until(page, "clock.playing && [...clock.videos].every((v) => !v.paused)")
        # A frame lasts half a second then: a busy machine shows it in time.
        page.locator(".player select").select_option("0.25")
        together = """(() => { const at = [...clock.videos].map((v) => 2 * Math.PI * v.currentTime / v.duration);
            const [x, y] = [Math.cos, Math.sin].map((f) => at.reduce((sum, a) => sum + f(a), 0));
            return at.every((a) => Math.cos(a - Math.atan2(y, x)) > Math.cos(Math.PI / 8)); })()"""
        until(page, together)
        knocked = "[...clock.videos][3].currentTime = (clock.seconds + 0.5) % 1"
        assert page.evaluate(f"{knocked}, {together}") is False
        until(page, together)
        page.keyboard.press("Space")
        at = page.evaluate("clock.frame")
        page.keyboard.press("ArrowRight")
        until(page, "[...clock.videos].every((v) => v.paused && !v.seeking)")
        frames = page.evaluate("[...clock.videos].map((v) => Math.floor(v.currentTime * 8))")
        assert set(frames) == {(at + 1) % 8}
        assert page.locator(".player output").inner_text() == f"frame {(at + 1) % 8 + 1} of 8"
        page.keyboard.press("0")
        page.locator(".player input[type=range]").focus()
        page.keyboard.press("End")
        assert page.evaluate("clock.frame") == 7


def test_a_phone_in_the_dark_shows_all_and_rests_where_motion_is_unwanted(browser: Any, page_file: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
    with opened(browser, page_file, **phone) as page:
        assert overflow(page) == 0
        page.evaluate(IN_VIEW)
        page.locator(".comparison").first.locator(".shot video").first.scroll_into_view_if_needed()
        until(page, "clock.videos.size > 0")
        assert page.evaluate("clock.playing") is False
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 22, 19)"
        page.locator("details.made summary").first.focus()
        page.keyboard.press("Enter")
        assert page.locator("details.made[open]").count() == 1
        assert overflow(page) == 0


def test_contact_sheets_are_drawn(browser: Any, page_file: Path) -> None:
    with opened(browser, page_file) as page:
        page.evaluate(IN_VIEW)
        page.locator("[name=view][value=frames]").check()
        until(page, "document.querySelector('.frames canvas') !== null")
        sheet = page.locator(".frames canvas").first
        assert sheet.get_attribute("aria-label") == "8 of 8 frames of dreamvideo"
        columns = """() => { const canvas = document.querySelector('.frames canvas');
            const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            const sums = Array(8).fill(0);
            for (let i = 0; i < pixels.length; i += 4)
                sums[Math.floor(((i / 4) % canvas.width) / 66)] += pixels[i] * (1 + Math.floor(i / 4 / canvas.width));
            return sums; }"""
        until(page, f"({columns})().every((sum) => sum > 0)")
        # The fox moves: no two frames are the same picture.
        assert len(set(page.evaluate(columns))) == 8
