"""A study's ballots and their counting, against values worked out by hand."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.errors import InputError
from engine.evaluation.suites.ballots import Study, draw_study, load_study, save_study
from engine.evaluation.suites.results import Cell, CellAdapter, CellResult
from engine.evaluation.suites.tallies import krippendorff_alpha, load_answers, tally


def results(*methods: str, seeds: int = 2, subject: str | None = "fox", motion: str | None = "zigzag") -> Any:
    return [
        CellResult(
            Cell(method, subject, motion, "a * moves", seed), "made", "embedded", "f" * 64, "2020-01-01T00:00:00+00:00",
            video=f"{method}-{seed}.mp4", sha256=f"{method}-{seed}",
        )
        for method in methods
        for seed in range(seeds)
    ]  # fmt: skip


def answers(study: Study, folder: Path, rater: str, choose: Any) -> Path:
    """A file as the page saves it; `choose(ballot, question)` is a method's name, or None for no answer."""
    sides: dict[str, dict[str, str]] = {}
    for ballot in study.ballots:
        for question in ballot.questions:
            if (method := choose(ballot, question)) is not None:
                sides.setdefault(ballot.id, {})[question] = "left" if ballot.left == method else "right"
    path = folder / f"{rater}.json"
    path.write_text(
        json.dumps({"dv_study_answers": 1, "study": study.id, "rater": rater, "name": "", "answers": sides})
    )
    return path


def test_every_pair_is_drawn_once_in_an_order_of_the_seed() -> None:
    cells = results("dreamvideo", "lora", "dreamix", seeds=8)
    study = draw_study(cells, "small", method="dreamvideo")
    pairs = {(frozenset((b.left, b.right)), b.seed) for b in study.ballots}
    assert pairs == {(frozenset(("dreamvideo", other)), seed) for other in ("lora", "dreamix") for seed in range(8)}
    assert len(study.ballots) == 16
    left = [b.left == "dreamvideo" for b in study.ballots]
    assert 0 < sum(left) < 16
    assert [b.seed for b in study.ballots] != sorted(b.seed for b in study.ballots)
    assert draw_study(cells, "small", method="dreamvideo") == study
    assert draw_study(cells, "small", method="dreamvideo", seed=1).id != study.id
    fewer = draw_study(cells, "small", method="lora", against=["dreamix"], most=3)
    assert [{b.left, b.right} for b in fewer.ballots] == [{"lora", "dreamix"}] * 3


def test_what_is_asked_depends_on_what_was_customized() -> None:
    def asked(**cell: Any) -> tuple[str, ...]:
        study = draw_study(results("dreamvideo", "lora", **cell), "small", method="dreamvideo")
        return study.ballots[0].questions

    def learnt(*kinds: Any, other: Any = None) -> Any:
        part = CellAdapter("fox@1", "0" * 64, "any", {}, 1)
        by = {"dreamvideo": kinds, "lora": kinds if other is None else other}
        return [replace(r, parts=dict.fromkeys(by[r.cell.method], part)) for r in results(*by)]

    assert len(asked()) == 4
    subjects = draw_study(learnt("subject"), "small", method="dreamvideo").ballots[0]
    assert (subjects.sort, subjects.questions) == ("subject", asked(motion=None))
    # Where only one of them learnt the subject, nothing is known to be customized by both.
    for other in ((), ("motion",), ("subject", "motion")):
        assert draw_study(learnt("subject", other=other), "small", method="dreamvideo").ballots[0].sort == "joint"
    assert draw_study(learnt("subject", "motion"), "small", method="dreamvideo").ballots[0].sort == "joint"
    assert asked(motion=None) == ("text_alignment", "subject_fidelity", "temporal_consistency")
    assert asked(subject=None) == ("text_alignment", "motion_fidelity", "temporal_consistency")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "nobody"}, "no video by 'nobody': its methods are dreamvideo, lora"),
        ({"method": "dreamvideo", "against": ["dreamvideo"]}, "can't be compared with itself"),
    ],
)
def test_a_study_that_cannot_be_is_refused(options: Any, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        draw_study(results("dreamvideo", "lora"), "small", **options)
    with pytest.raises(InputError, match="shares no subject"):
        draw_study(results("dreamvideo"), "small", method="dreamvideo")


def test_the_majority_decides_and_even_votes_are_ties(tmp_path: Path) -> None:
    study = draw_study(results("dreamvideo", "lora", seeds=4), "small", method="dreamvideo")
    save_study(study, tmp_path / "key.json")
    assert load_study(tmp_path / "key.json") == study

    def for_text(winners: list[str | None]) -> Any:
        return lambda ballot, question: winners[ballot.seed] if question == "text_alignment" else None

    ours, lora = "dreamvideo", "lora"
    files = [
        answers(study, tmp_path, "a", for_text([ours, ours, lora, ours])),
        answers(study, tmp_path, "b", for_text([ours, lora, lora, lora])),
        answers(study, tmp_path, "c", for_text([lora, ours, lora, None])),
    ]
    counted = tally(study, load_answers(files, study))
    (table,) = counted.tables
    (line,) = table.lines
    assert (counted.raters, table.number, line.other, line.ballots, list(line.shares)) == (
        3, "4", "lora", 4, ["text_alignment"],
    )  # fmt: skip
    share = line.shares["text_alignment"]
    # Seeds 0 and 1 are won 2 to 1, seed 2 lost 0 to 3, seed 3 is 1 to 1.
    assert (share.ours, share.other, share.ties, share.ours_share.mean) == (2, 1, 1, 0.5)
    agreement = counted.agreement["text_alignment"]
    # Of the 3 + 3 + 3 + 1 pairs of votes on one ballot, 1 + 1 + 3 + 0 are the same.
    assert agreement.same == pytest.approx(5 / 10)
    # Observed 4/2 + 4/2 + 0 + 2/1 = 6; expected 2 * 5 * 6 / 10 = 6.
    assert agreement.alpha == pytest.approx(0)
    assert counted.agreement["motion_fidelity"].alpha is None


def test_methods_stand_in_the_order_of_the_suite_or_as_asked_for(tmp_path: Path) -> None:
    cells = results("modelscope", "dreamvideo", "lora", "dreamix")

    def lines(**options: Any) -> list[str]:
        study = draw_study(cells, "small", method="dreamvideo", **options)
        save_study(study, tmp_path / "key.json")
        file = answers(study, tmp_path, "a", lambda ballot, _: "dreamvideo")
        kept = load_study(tmp_path / "key.json")
        return [line.other for line in tally(kept, load_answers([file], kept)).tables[0].lines]

    assert lines() == ["modelscope", "lora", "dreamix"]
    assert lines(against=["lora", "dreamix"]) == ["lora", "dreamix"]
    # A key of before this order was kept has none.
    key = json.loads((tmp_path / "key.json").read_text(encoding="utf-8"))
    del key["against"]
    (tmp_path / "key.json").write_text(json.dumps(key), encoding="utf-8")
    study = load_study(tmp_path / "key.json")
    assert [line.other for line in tally(study, load_answers([tmp_path / "a.json"], study)).tables[0].lines] == [
        "dreamix", "lora",
    ]  # fmt: skip


def test_the_interval_of_a_share_is_over_subjects(tmp_path: Path) -> None:
    cells = [r for subject in ("fox", "taxi") for r in results("dreamvideo", "lora", seeds=8, subject=subject)]
    study = draw_study(cells, "small", method="dreamvideo")
    file = answers(study, tmp_path, "a", lambda ballot, _: "dreamvideo" if ballot.subject == "fox" else "lora")
    (table,) = tally(study, load_answers([file], study)).tables
    share = table.lines[0].shares["text_alignment"].ours_share
    # One resample in four has the fox alone, and one the taxi: sixteen ballots say as much as two subjects.
    assert (share.mean, share.low, share.high) == (0.5, 0.0, 1.0)


def test_alpha_of_krippendorffs_own_example() -> None:
    """Nominal data of 4 observers with missing values (Krippendorff 2011, section C): alpha 0.743."""
    observers = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    units = []
    for given in zip(*observers, strict=True):
        values = [str(value) for value in given if value is not None]
        units.append({value: values.count(value) for value in values})
    assert krippendorff_alpha(units) == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha([{"a": 2}, {"a": 3}]) is None


def test_files_that_are_no_answers_are_refused(tmp_path: Path) -> None:
    study = draw_study(results("dreamvideo", "lora"), "small", method="dreamvideo")
    good = answers(study, tmp_path, "a", lambda ballot, question: "lora")
    twice = tmp_path / "twice.json"
    twice.write_text(good.read_text())
    wrong: dict[str, tuple[dict[str, Any], str]] = {
        "other.json": ({"study": "x"}, "answers another study"),
        "plain.json": ({"dv_study_answers": 2}, "holds no answers"),
        "side.json": ({"answers": {"b1": {"text_alignment": "both"}}}, "no answer 'both'"),
        "ballot.json": ({"answers": {"b9": {}}}, "no ballot 'b9'"),
        "rater.json": ({"rater": None}, "names no rater"),
    }
    with pytest.raises(InputError, match="by the same rater"):
        load_answers([good, twice], study)
    for name, (changes, said) in wrong.items():
        (tmp_path / name).write_text(json.dumps({**json.loads(good.read_text()), **changes}))
        with pytest.raises(InputError, match=said):
            load_answers([tmp_path / name], study)
    with pytest.raises(InputError, match="There is no file"):
        load_answers([tmp_path / "nowhere.json"], study)
    (tmp_path / "text.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        load_answers([tmp_path / "text.json"], study)
    with pytest.raises(InputError, match="is not the key of a study"):
        load_study(good)
