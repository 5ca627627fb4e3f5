"""Tests of tools/bench.py, on small arrays and with the libraries that are installed."""

import time
from dataclasses import asdict

import bench
import numpy as np
import pytest


@pytest.fixture(scope="module")
def cases():
    installed, _ = bench.libraries([bench.numpy_only, bench.scipy])
    small = [
        bench.Case("KL", 20, 10, "float32"),
        bench.Case("KL", 20, 10, inputs="nearly equal"),
        bench.Case("entropy", 20, 10),
        bench.Case("JS", 20, 10),
        bench.Case("KL from logits", 20, 10, inputs="size 1e3"),
    ]
    return [asdict(c) | {"results": bench.measure(c, installed, seconds=0)} for c in small]


def test_every_measure_keeps_its_digits(cases):
    for case in cases:
        ours = case["results"][bench.OURS]
        assert ours["error"] < bench.FEW_ROUNDINGS * np.finfo(case["dtype"]).eps, case
        assert ours["ratio"] == [1, 1, 1]
        assert case["results"]["numpy copy"]["ratio"][1] < 0.5  # its time over ours
    assert cases[1]["results"]["scipy.special"]["digits"] < 5
    assert cases[1]["results"]["scipy.stats"]["digits"] < 5


def test_times_and_ratios_are_those_of_the_calls():
    calls = {bench.OURS: lambda: time.sleep(0.01), "slow": lambda: time.sleep(0.04)}
    taken = bench.interleaved(calls, seconds=0)
    assert len(taken["slow"]) == len(taken[bench.OURS]) == bench.ROUNDS[0]
    assert 2 < np.median(taken["slow"] / taken[bench.OURS]) < 6
    assert bench.quartiles([1, 2, 3, 4, 9]) == [2, 3, 4]


def test_all_have_a_turn_in_every_round():
    turns = []
    calls = {name: lambda name=name: (turns.append(name), time.sleep(0.003)) for name in "abc"}
    bench.interleaved(calls, seconds=0)
    rounds = np.reshape(turns[3:], (-1, 3))  # after one call each that tells how long they take
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)


@pytest.mark.parametrize(("error", "kept"), [(0, 15.95), (1e-4, 4), (3.0, 0), (np.inf, 0)], ids=str)
def test_digits(error, kept):
    assert bench.digits(error, "float64") == pytest.approx(kept, abs=0.01)


def test_exponent_of_growth():
    result = bench.growth(10, counts=(10_000, 100_000, 1_000_000))
    assert 0.5 < result["time exponent"] < 1.5
    assert result["bytes"][-1] > 8 * 100_000  # the result itself


def test_a_missing_library_is_named():
    def absent():
        import no_such_library  # noqa: F401

    assert bench.libraries([bench.numpy_only, absent])[1] == ["absent"]


def test_report_names_who_is_ahead(cases):
    ahead = {"ms": 1.0, "ratio": [0.4, 0.5, 0.6], "error": 1e-16, "digits": 15.9}
    ours = {"ms": 2.0, "ratio": [1, 1, 1], "error": 1e-9, "digits": 9.0}
    case = asdict(bench.CASES[0]) | {"results": {bench.OURS: ours, "other": ahead}}
    assert bench.behind([case]) == [
        "- KL, 1000 x 10, float64, generic: other 0.50, other 15.9 digits"
    ]
    assert "| 1000 x 10 | float64 | generic | 2 ms; 9.0 | 0.5 (0.4-0.6); 15.9 |" in bench.table(
        [case]
    )


def test_figure_shows_every_float64_result(cases):
    figure = bench.draw(cases)
    drawn = [xy for panel in figure.axes for line in panel.lines for xy in line.get_xydata()[:, 1]]
    kept = [r["digits"] for c in cases[1:] for r in c["results"].values() if "digits" in r]
    assert set(kept) <= set(drawn)


def test_publishing_replaces_the_results(tmp_path, monkeypatch):
    (tmp_path / "_static").mkdir()
    for name in ("benchmark.json", "benchmark.png"):
        (tmp_path / name).write_text(name)
    page = tmp_path / "benchmark.md"
    page.write_text(f"before\n{bench.MARKS[0]}old\n{bench.MARKS[1]}after\n")
    monkeypatch.setattr(bench, "BUILD", tmp_path)
    monkeypatch.setattr(bench, "PAGE", page)
    bench.publish("new\n")
    assert page.read_text() == f"before\n{bench.MARKS[0]}new\n{bench.MARKS[1]}after\n"
    assert (tmp_path / "_static" / "benchmark.json").read_text() == "benchmark.json"


def test_the_page_has_its_marks():
    text = bench.PAGE.read_text(encoding="utf-8")
    assert [text.count(mark) for mark in bench.MARKS] == [1, 1]
    assert ".png)" in text
