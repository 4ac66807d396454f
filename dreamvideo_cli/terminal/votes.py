"""A study's votes: the tables, the JSON, the CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvideo_cli.terminal.output import Column, Out
from dreamvideo_cli.wording import count_text
from engine.files import written_aside

if TYPE_CHECKING:
    from engine.evaluation.suites.ballots import Study
    from engine.evaluation.suites.tallies import Tally


def show_votes(study: Study, tally: Tally, file: Path | None, out: Out, *, force: bool = False) -> None:
    """The paper's tables in percent and the raters' agreement on stdout, every pair's votes in `file`."""
    from engine.evaluation.suites.ballots import QUESTIONS
    from engine.evaluation.suites.tallies import votes_data

    if file is not None:
        _write(file, study, tally, replace=force)
        out.note(f"Wrote {file}")
    if out.json:
        out.data({**votes_data(study, tally), "ballots": _rows(study, tally)})
        return
    titles = {question: title for question, (title, _) in QUESTIONS.items() if question in tally.agreement}
    rows = [
        {"table": table.number, "other": line.other, "ballots": line.ballots, **{q: line.shares.get(q) for q in titles}}
        for table in tally.tables
        for line in table.lines
    ]
    columns = [
        Column("table", "Table"),
        Column("other", f"{study.method} against", style="bold"),
        Column("ballots", "Pairs", justify="right"),
        *(Column(question, title, _percent, "right") for question, title in titles.items()),
    ]
    raters = count_text(tally.raters, "rater")
    out.note(f"{raters}; the majority's choice in percent of pairs: {study.method}, the other method, ties")
    out.table(rows, columns, id_key="other", empty="No question was answered.")
    if tally.raters > 1:
        agreed = [
            {"question": titles[question], "same": one.same, "alpha": one.alpha}
            for question, one in tally.agreement.items()
        ]
        shown = [
            Column("question", "Agreement of raters"),
            Column("same", "Same choice", _figure, "right"),
            Column("alpha", "Krippendorff's alpha", _figure, "right"),
        ]
        out.table(agreed, shown, id_key="question", empty="")


def _percent(share: Any) -> str:
    """`63 : 37`, with ties `50 : 25 : 25`."""
    return "\u2013" if share is None else " : ".join(f"{part:.0f}" for part in share.percents)


def _figure(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else "\u2013"


def _rows(study: Study, tally: Tally) -> list[dict[str, Any]]:
    return [
        {
            "ballot": count.ballot.id,
            "subject": count.ballot.subject,
            "motion": count.ballot.motion,
            "prompt": count.ballot.prompt,
            "seed": count.ballot.seed,
            "method": study.method,
            "against": count.other,
            "question": count.question,
            "votes": count.ours,
            "votes_against": count.theirs,
            "verdict": {"ours": study.method, "other": count.other, "tie": "tie", None: None}[count.verdict],
        }
        for count in tally.counts
    ]


def _write(file: Path, study: Study, tally: Tally, *, replace: bool) -> None:
    rows: Sequence[dict[str, Any]] = _rows(study, tally)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with written_aside(file, replace=replace) as partial:
        partial.write_text(text.getvalue(), encoding="utf-8")
