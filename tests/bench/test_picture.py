"""Show that the picture says what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.colors import to_hex
from matplotlib.image import imread

from tests.bench import picture, uploads

MACHINE = {
    "cores": 2,
    "kernel": "6",
    "python": "3",
    "file system": "ext4",
    "processor": "any",
    "uploader": "1",
    "date": "2026-01-02",
}


def _run(case: str, rates: dict[str, float]) -> dict[str, Any]:
    series = [
        {
            "case": case,
            "name": name,
            "seconds": [1.0, 2.0, 3.0],
            "files_per_second": rate,
            "mib_per_second": 2 * rate,
            "cpu_seconds_per_gib": 3 * rate,
        }
        for name, rate in rates.items()
    ]
    return {"machine": MACHINE, "results": [{"name": "s3 (4 workers)", "series": series}]}


def test_it_is_drawn_of_what_the_benchmark_prints(tmp_path: Path) -> None:
    """Of several files too; as wide as it was meant."""
    runs = [
        _run("sink: 2 x 64 KiB", {uploads.OURS: 1.0}),
        _run("seaweed: 1 x 2 GiB", {uploads.OURS: 1.0}),
    ]
    files = [tmp_path / f"{number}.json" for number in range(len(runs))]
    for file, run in zip(files, runs, strict=True):
        file.write_text(json.dumps(run))
    output = tmp_path / "x.png"
    assert picture.main([*map(str, files), "-o", str(output)]) == 0
    assert imread(output).shape[1] == picture.WIDTH * picture.DPI


def test_everybody_has_a_bar_as_long_as_measured() -> None:
    """Files a second of small ones, MiB a second of others; ours stands out."""
    rates = {uploads.OURS: 2.0, "s5cmd": 1.0}
    small, *_ = _bars([_run("sink: 2 x 64 KiB", rates)])
    large, *_ = _bars([_run("sink: 1 x 2 GiB", rates)])
    assert [bar.get_width() for bar in small] == [2.0, 1.0]
    assert [bar.get_width() for bar in large] == [4.0, 2.0]
    assert [to_hex(bar.get_facecolor()) for bar in small] == [picture.OURS, picture.THEIRS]


def test_a_cost_far_above_most_is_cut_and_says_so() -> None:
    """Or the others could not be compared; nobody's speed is cut."""
    rates = {uploads.OURS: 1.0, "s5cmd": 2.0, "composer": 400.0}
    speed, cpu = picture.sheet_of([_run("sink: 2 x 64 KiB", rates)]).figure.axes
    bars: list[Any] = [*speed.patches, *cpu.patches]
    assert [bar.get_width() for bar in bars] == [1.0, 2.0, 400.0, 3.0, 6.0, 6.0 * picture.CUT]
    assert [text.get_text() for text in cpu.texts] == ["3.00", "6.00", "1200"]
    assert [len(speed.lines), len(cpu.lines)] == [0, 1]


def test_who_had_no_turn_keeps_his_line_empty() -> None:
    """So that a name stands for the same line in every chart."""
    runs = [
        _run("sink: 2 x 64 KiB", {uploads.OURS: 1.0, "s5cmd": 1.0, "obstore": 1.0}),
        _run("sink: 1 x 2 GiB", {uploads.OURS: 1.0, "obstore": 1.0}),
    ]
    _, large, *_ = _bars(runs)
    assert [bar.get_y() + bar.get_height() / 2 for bar in large] == [0, 2]


def _bars(runs: list[dict[str, Any]]) -> list[Any]:
    """Return the bars of each chart."""
    return [axes.patches for axes in picture.sheet_of(runs).figure.axes]
