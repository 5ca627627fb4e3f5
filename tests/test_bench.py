"""Tests of tools/bench.py and bench_libraries.py, on small arrays."""

import time
from dataclasses import asdict

import bench
import bench_libraries
import numpy as np
import pytest

from . import reference


@pytest.fixture(scope="module")
def cases():
    loaders = bench_libraries.numpy_only, bench_libraries.scipy, bench_libraries.torch
    installed, _ = bench.libraries(loaders)
    small = [
        bench.Case("KL", 20, 10, "float32"),
        bench.Case("KL", 20, 10, inputs="nearly equal"),
        bench.Case("entropy", 20, 10),
        bench.Case("JS", 20, 10),
        bench.Case("KL from logits", 20, 10, inputs="size 1e3"),
        bench.Case("normal KL", 20, 1),
        bench.Case("diagonal normal KL", 20, 10),
        bench.Case("diagonal normal KL", 20, 10, inputs="nearly equal"),
        bench.Case("full normal KL", 20, 4),
        bench.Case("full normal KL", 20, 4, inputs="nearly equal"),
        bench.Case("full normal KL", 1, 10, inputs="integers"),
    ]
    return [asdict(c) | {"results": bench.measure(c, installed, seconds=0)} for c in small]


def test_every_measure_keeps_its_digits(cases):
    for case in cases:
        ours = case["results"][bench.OURS]
        assert ours["error"] < bench.FEW_ROUNDINGS * np.finfo(case["dtype"]).eps, case
        assert ours["ratio"] == [1, 1, 1]
        if "normal" not in case["measure"]:
            assert case["results"]["numpy copy"]["ratio"][1] < 0.5  # its time over ours


def test_nearly_equal_inputs_cost_the_others_their_digits(cases):
    for case in cases:
        others = [r["digits"] for r in case["results"].values() if "digits" in r][1:]
        if case["inputs"] == "nearly equal":
            assert max(others) < 8, case
        elif case["inputs"] != "size 1e3":
            assert min(others) > 0.7 * -np.log10(np.finfo(case["dtype"]).eps), case


def test_the_mixture_of_integers_has_the_divergence_that_is_claimed():
    case = bench.Case("full normal KL", 2, 5, inputs="integers")
    arrays = case.arrays()
    assert all(np.array_equal(x, np.rint(x)) and abs(x).max() < 2**53 for x in arrays)
    assert np.count_nonzero(arrays[1]) > 0.9 * arrays[1].size
    claimed = case.exact(arrays)
    for value, expected in zip(claimed, reference.by_row(reference.mvn_kl, *arrays), strict=True):
        assert abs(value - expected) < 1e-80


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

    assert bench.libraries([bench_libraries.numpy_only, absent])[1] == ["absent"]


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
    names = {
        name for case in cases for name, result in case["results"].items() if "digits" in result
    }
    assert {text.get_text() for text in figure.legends[0].get_texts()} == names
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


def test_distillation_keeps_the_digits_of_its_loss():
    found = bench.distillation(examples=640, epochs=2, seconds=0)
    for label, kept in found["digits"].items():
        assert kept[bench.OURS] > 2.5, label
        assert kept["keras, default"] < 1, label
        assert kept[bench.OURS] > kept["keras"], label
    assert found["digits"]["1e-3 apart"]["keras"] < 1
    for results in found["steps"].values():
        assert results[bench.OURS]["ratio"] == [1, 1, 1]
        assert results["keras"]["ms"] > 0
    text = bench.distillation_report(found)
    assert "A step of Distiller on arrays, in fits of 2 epochs: " in text
    assert "| digits of the loss, T = 4 | kl_course | keras | keras, default |" in text
