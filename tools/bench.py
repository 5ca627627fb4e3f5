"""Time and digits of kl_course beside those of the libraries that are installed.

"make bench" prints the tables and writes them to build/bench with JSON and a figure;
"make bench ARGS=--publish" puts them into docs/ as well. It takes about five minutes.
"""

import os

# One thread for everybody. The libraries read this when they start, hence before their imports.
os.environ.update(
    dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC"), "1"),
    KERAS_BACKEND="tensorflow",
    TF_CPP_MIN_LOG_LEVEL="3",
)

import argparse
import itertools
import json
import platform
import shutil
import subprocess
import sys
import time
import tracemalloc
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pages
from bench_libraries import (
    OURS,
    PASSES,
    YARDSTICKS,
    distillation_losses,
    distillers,
    libraries,
)
from tqdm import tqdm

import kl_course as kc
from kl_course.plotting import use_style

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests import reference  # noqa: E402

BUILD = ROOT / "build" / "bench"
PAGE = ROOT / "docs" / "benchmark.md"
MARKS = "<!-- results: make bench ARGS=--publish -->\n", "<!-- end of results -->\n"
DELTA = 1e-6  # how much nearly equal inputs differ
FEW_ROUNDINGS = 8  # an error of so many eps leaves no digit to gain
SECONDS = 5.0  # of measurement for a case
SHORTEST = 2e-3  # seconds: quicker calls are repeated within one reading of the clock
ROUNDS = 5, 60  # at least, at most

REFERENCES = {
    "KL": reference.kl,
    "entropy": reference.entropy,
    "JS": reference.js,
    "KL from logits": reference.kl_from_logits,
    "normal KL": reference.normal_kl,
    "diagonal normal KL": reference.diag_normal_kl,
    "full normal KL": reference.mvn_kl,
}


@dataclass(frozen=True)
class Case:
    measure: str
    rows: int
    size: int
    dtype: str = "float64"
    inputs: str = "generic"

    def arrays(self):
        """Return the inputs: one array for an entropy, means and spreads for normals, else two."""
        rng = np.random.default_rng(0)
        if self.inputs == "integers":
            return mixed(rng, *independent_integers(rng, self.rows, self.size))
        if "normal" in self.measure:
            return self._normals(rng)
        if self.measure == "KL from logits":
            scale = 1e3 if self.inputs == "size 1e3" else 1.0
            return list(scale * rng.standard_normal((2, self.rows, self.size)).astype(self.dtype))
        p, q = (reference.random_rows(rng, self.rows, self.size) for _ in "pq")
        if self.inputs == "nearly equal":
            q = reference.nearly_equal(rng, p, DELTA)
        return [x.astype(self.dtype) for x in ([p] if self.measure == "entropy" else [p, q])]

    def _normals(self, rng):
        draw = correlated if self.measure == "full normal KL" else independent
        shape = (self.rows,) if self.measure == "normal KL" else (self.rows, self.size)
        (mean_p, spread_p), (mean_q, spread_q) = (draw(rng, *shape) for _ in "pq")
        if self.inputs == "nearly equal":
            mean_q, spread_q = mean_p + DELTA * mean_q, spread_p * (1 + DELTA * spread_q)
        return [mean_p, spread_p, mean_q, spread_q]

    def exact(self, arrays):
        """Return the reference's values of some rows, the first ones, of arrays()."""
        if self.inputs == "integers":
            unmixed = independent_integers(np.random.default_rng(0), self.rows, self.size)
            return reference.by_row(reference.diag_normal_kl, *unmixed)
        rows = 20 if self.measure == "full normal KL" else min(100, 10_000 // self.size)
        return reference.by_row(REFERENCES[self.measure], *(x[:rows] for x in arrays))


def independent(rng, *shape):
    """Return means and standard deviations."""
    return rng.standard_normal(shape), np.exp(rng.standard_normal(shape))


def correlated(rng, rows, size):
    """Return means, and covariances of twice as many samples as coordinates."""
    samples = rng.standard_normal((rows, 2 * size, size))
    return rng.standard_normal((rows, size)), samples.mT @ samples / (2 * size)


def independent_integers(rng, rows, size):
    """Return means and standard deviations of p and of q, all of them whole numbers."""
    lowest = -200, 50, -200, 50
    return [rng.integers(low, 200, (rows, size)).astype(float) for low in lowest]


def mixed(rng, mean_p, std_p, mean_q, std_q):
    """Multiply the coordinates by a matrix of whole numbers; return means and covariances.

    Nothing is rounded, and KL stays what it was: with 500 coordinates mpmath would take hours.
    """
    size = mean_p.shape[-1]
    matrix = np.rint(2.2 * np.sqrt(size) * np.eye(size) + rng.standard_normal((size, size)))
    covs = [matrix * std[:, None, :] ** 2 @ matrix.T for std in (std_p, std_q)]
    return [mean_p @ matrix.T, covs[0], mean_q @ matrix.T, covs[1]]


SHAPES = [(1000, 10), (10_000, 1000), (1_000_000, 10)]
CASES = [
    Case("KL", *shape, dtype, inputs)
    for inputs in ("generic", "nearly equal")
    for dtype in ("float64", "float32")
    for shape in SHAPES
]
CASES += [Case("entropy", *shape) for shape in SHAPES]
CASES += [Case("JS", *shape) for shape in SHAPES]
CASES += [Case("JS", *shape, inputs="nearly equal") for shape in SHAPES[1:]]
CASES += [Case("KL from logits", *shape) for shape in SHAPES]
CASES += [Case("KL from logits", *SHAPES[2], inputs="size 1e3")]
CASES += [
    Case(measure, *shape, inputs=inputs)
    for measure, *shape in [
        ("normal KL", 1_000_000, 1),
        ("diagonal normal KL", 100_000, 64),
        ("full normal KL", 1000, 16),
    ]
    for inputs in ("generic", "nearly equal")
]
CASES += [Case("full normal KL", 1, 500, inputs="integers")]


# Measuring


def measure(case, installed, seconds=SECONDS):
    """Return milliseconds, quartiles of the ratio to kl_course, error and digits, by library."""
    arrays = case.arrays()
    exact = case.exact(arrays)
    in_range = [i for i, value in enumerate(exact) if value > np.finfo(case.dtype).tiny]
    calls, results = {}, {}
    for name, (convert, functions) in installed.items():
        if case.measure not in functions:
            continue
        calls[name] = partial(functions[case.measure], *map(convert, arrays))
        with np.errstate(all="ignore"):  # what becomes of log(0) shows in the digits
            values = np.asarray(calls[name]())  # the first call, which may compile
        results[name] = {}
        if name not in PASSES:
            error = reference.relative_error(values[in_range], [exact[i] for i in in_range])
            results[name] = {"error": error, "digits": digits(error, case.dtype)}
    taken = interleaved(calls, seconds)
    for name, values in taken.items():
        results[name]["ms"] = 1e3 * float(np.median(values))
        results[name]["ratio"] = quartiles(values / taken[OURS])
    return results


def digits(error, dtype):
    """Return how many decimal digits a relative error leaves; half an eps leaves them all."""
    return float(np.log10(1 / np.clip(error, np.finfo(dtype).eps / 2, 1.0)))


def interleaved(calls, seconds):
    """Return the seconds that each call took in each round.

    All have a turn in every round, in a new order, so that drift of the machine hits all alike
    and cancels in the ratios within a round. pytest-benchmark and timeit finish one call before
    they begin the next.
    """
    rng = np.random.default_rng(0)
    repeats = {name: int(SHORTEST / _seconds(call)) + 1 for name, call in calls.items()}
    taken = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    for done in range(ROUNDS[1]):
        if done >= ROUNDS[0] and time.perf_counter() > end:
            break
        for name in rng.permutation(list(calls)):
            taken[name].append(_seconds(calls[name], repeats[name]))
    return {name: np.array(values) for name, values in taken.items()}


def _seconds(call, repeats=1):
    with np.errstate(all="ignore"):
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - start) / repeats


def quartiles(values):
    """Return the lower quartile, the median and the upper quartile."""
    return np.quantile(values, [0.25, 0.5, 0.75]).tolist()


def growth(size, counts=(10**3, 10**4, 10**5, 10**6, 10**7)):
    """Return time and memory of kl_divergence for n symbols, `size` to a row, with exponents."""
    seconds, peaks = [], []
    for n in counts:
        call = partial(kc.kl_divergence, *Case("KL", n // (size or n), size or n).arrays())
        seconds.append(float(np.median(interleaved({OURS: call}, seconds=0)[OURS])))
        tracemalloc.start()
        call()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    slopes = [float(np.polyfit(np.log(counts), np.log(y), 1)[0]) for y in (seconds, peaks)]
    result = {"symbols": counts, "seconds": seconds, "bytes": peaks}
    return result | {"time exponent": slopes[0], "memory exponent": slopes[1]}


def import_times(seconds=10):
    """Return the milliseconds of fresh processes that import numpy or kl_course, and the ratio."""
    run = partial(subprocess.run, cwd=ROOT, check=True)
    command = [sys.executable, "-c"]
    calls = {name: partial(run, [*command, f"import {name}"]) for name in ("numpy", OURS)}
    taken = interleaved(calls, seconds)
    results = {name: quartiles(1e3 * values) for name, values in taken.items()}
    return results | {"ratio": quartiles(taken[OURS] / taken["numpy"])}


def distillation(temperature=4.0, examples=2048, epochs=10, batch=64, seconds=4 * SECONDS):
    """Return the milliseconds per step and the digits of the loss, here and in Keras."""
    return {
        "temperature": temperature,
        "epochs": epochs,
        "steps": distillation_steps(temperature, examples, epochs, batch, seconds),
        "digits": distillation_digits(temperature),
    }


def distillation_steps(temperature, examples, epochs, batch, seconds):
    """Return milliseconds per step and the ratio to kl_course, by kind of data and library.

    Each call is a whole fit. For arrays, kl_course asks the teacher once, within the fit.
    """
    import keras
    import tensorflow as tf

    x = np.random.default_rng(0).standard_normal((examples, 64)).astype(np.float32)
    dataset = tf.data.Dataset.from_tensor_slices(x).batch(batch)
    calls = {}
    for name, make in distillers(temperature).items():
        for kind, data in (("arrays", x), ("dataset", dataset)):
            keras.utils.set_random_seed(0)
            distiller = make(_classifier(32), _classifier(256, 256))
            options = {"batch_size": batch} if data is x else {}
            fit = partial(distiller.fit, data, epochs=epochs, verbose=0, **options)
            fit()  # compiles
            calls[f"{name}, {kind}"] = fit
    taken = interleaved(calls, seconds)
    steps = epochs * -(-examples // batch)
    results = {"arrays": {}, "dataset": {}}
    for kind, found in results.items():
        for name in (OURS, "keras"):
            own, ours = taken[f"{name}, {kind}"], taken[f"{OURS}, {kind}"]
            ms = 1e3 * float(np.median(own)) / steps
            found[name] = {"ms": ms, "ratio": quartiles(own / ours)}
    return results


def _classifier(*hidden):
    from keras import Input, Sequential, layers

    stack = [layers.Dense(size, activation="relu") for size in hidden]
    return Sequential([Input((64,)), *stack, layers.Dense(10)])


def distillation_digits(temperature, rows=100):
    """Return how many digits float32 keeps of the loss of each row, by inputs and library."""
    rng = np.random.default_rng(0)
    teacher, student = rng.standard_normal((2, rows, 10)).astype(np.float32)
    inputs = {
        "generic": (teacher, student),
        "1e-3 apart": (teacher, teacher + np.float32(1e-3) * student),
        "size 1e3": (1000 * teacher, 1000 * student),
    }
    results = {}
    for label, pair in inputs.items():
        exact = [
            reference.mp.mpf(temperature) ** 2 * reference.kl_from_logits(*row, temperature)
            for row in zip(*pair, strict=True)
        ]
        kept = [i for i, value in enumerate(exact) if value > np.finfo("float32").tiny]
        results[label] = {}
        for name, loss in distillation_losses(temperature).items():
            values = [float(loss(*(logits[i : i + 1] for logits in pair))) for i in kept]
            error = reference.relative_error(values, [exact[i] for i in kept])
            results[label][name] = digits(error, "float32")
    return results


def machine():
    """Describe what the numbers depend on."""
    names = ("numpy", "scipy", "torch", "keras", "tensorflow", "tensorflow_probability", "jax")
    loaded = {name: sys.modules[name].__version__ for name in names if name in sys.modules}
    return pages.machine() | {"python": platform.python_version()} | loaded


# Showing


def report(results):
    """Return all results in Markdown."""
    parts = ["Measured with " + ", ".join(f"{k} {v}" for k, v in results["machine"].items()) + "."]
    if results["missing"]:
        parts += ["Not installed: " + ", ".join(results["missing"]) + "."]
    for name, group in itertools.groupby(results["cases"], key=lambda case: case["measure"]):
        parts += [f"### {name}", table(list(group))]
    parts += ["### Where kl_course is behind", "\n".join(behind(results["cases"]) or ["Nowhere."])]
    parts += ["### Growth and import"]
    for layout, found in results["growth"].items():
        time_, memory = found["time exponent"], found["memory exponent"]
        n, ms, mb = found["symbols"][-1], 1e3 * found["seconds"][-1], found["bytes"][-1] / 1e6
        parts += [
            f"KL of {layout}, up to {n:.0e} symbols: time grows as n^{time_:.2f}, to {ms:.0f} ms; "
            f"memory beside the inputs as n^{memory:.2f}, to {mb:.1f} MB."
        ]
    low, median, high = results["imports"]["ratio"]
    parts += [f"import kl_course: {median:.2f} ({low:.2f}-{high:.2f}) times import numpy."]
    parts += ["### Distillation", distillation_report(results["distillation"])]
    return "\n\n".join(parts) + "\n"


def distillation_report(found):
    """Return the time of a step and the digits of the loss in Markdown."""
    lines = []
    for kind, results in found["steps"].items():
        low, median, high = results["keras"]["ratio"]
        lines += [
            f"A step of Distiller on {kind}, in fits of {found['epochs']} epochs: "
            f"{results[OURS]['ms']:.2f} ms; keras takes {median:.2f} ({low:.2f}-{high:.2f}) times "
            "as long."
        ]
    names = list(next(iter(found["digits"].values())))
    rows = [[f"digits of the loss, T = {found['temperature']:g}", *names]]
    rows += [["---"] + ["--:"] * len(names)]
    for label, kept in found["digits"].items():
        rows += [[label, *(f"{kept[name]:.1f}" for name in names)]]
    return "\n\n".join([*lines, _markdown(rows)])


def table(cases):
    """Return a table of one measure: our milliseconds, the others' ratios (quartiles); digits."""
    names = list(cases[0]["results"])
    rows = [["rows x size", "dtype", "inputs", *names], ["---"] * 3 + ["--:"] * len(names)]
    for case in cases:
        cells = [_cell(name, case["results"][name]) for name in names]
        rows += [[f"{case['rows']} x {case['size']}", case["dtype"], case["inputs"], *cells]]
    return _markdown(rows)


def _markdown(rows):
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(name, result):
    low, median, high = result["ratio"]
    time = f"{result['ms']:.3g} ms" if name == OURS else f"{median:.2g} ({low:.2g}-{high:.2g})"
    return f"{time}; {result['digits']:.1f}" if "digits" in result else time


def behind(cases):
    """List by case who is faster, with the ratio, or keeps digits that we lose."""
    lines = []
    for case in cases:
        peers = {name: r for name, r in case["results"].items() if name not in YARDSTICKS}
        ours = peers.pop(OURS)
        found = [f"{name} {r['ratio'][1]:.2f}" for name, r in peers.items() if r["ratio"][1] < 1]
        if ours["error"] > FEW_ROUNDINGS * np.finfo(case["dtype"]).eps:
            more = {name: r["digits"] for name, r in peers.items() if r["error"] < ours["error"]}
            found += [f"{name} {kept:.1f} digits" for name, kept in more.items()]
        if found:
            label = "- {measure}, {rows} x {size}, {dtype}, {inputs}: ".format_map(case)
            lines.append(label + ", ".join(found))
    return lines


COLORS = {OURS: "black", "textbook": "gray", "scipy": "C0", "torch": "C1", "keras": "C2"}
COLORS |= {"jax": "C3", "tfp": "C4"}


def draw(cases):
    """Return the figure: digits kept over relative time, in float64."""
    use_style()
    figure, panels = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(6.4, 3.8))
    cases = [case for case in cases if case["dtype"] == "float64"]
    names = dict.fromkeys(name for case in cases for name in case["results"])
    names = [name for name in names if name not in PASSES]
    for name, marker in zip(names, "*.osD^vPX<", strict=False):
        for panel, near in zip(panels, (False, True), strict=True):
            found = [c["results"].get(name) for c in cases if ("equal" in c["inputs"]) == near]
            x, y = [r["ratio"][1] for r in found if r], [r["digits"] for r in found if r]
            panel.plot(x, y, marker, color=COLORS[name.split(".")[0]], label=name, alpha=0.8)
    for panel, inputs in zip(panels, ("Generic", "Nearly equal"), strict=True):
        panel.set(title=f"{inputs} inputs", xlabel="time / our time (slower →)", xscale="log")
        panel.set_xticks(ticks := [0.1, 0.2, 0.5, 1, 2, 5, 10], map(str, ticks))
        panel.minorticks_off()
        panel.axvline(1, color="black", linewidth=0.6, zorder=0)
    panels[0].set_ylabel("digits kept, of 16")
    entries = panels[0].get_legend_handles_labels()
    figure.legend(*entries, loc="outside lower center", ncols=4, columnspacing=1, fontsize="small")
    return figure


def publish(text):
    """Copy the results to the documentation."""
    for name in ("benchmark.json", "benchmark.png"):
        shutil.copy(BUILD / name, PAGE.parent / "_static" / name)
    page = pages.with_section(PAGE.read_text(encoding="utf-8"), MARKS, text)
    PAGE.write_text(page, encoding="utf-8")


def main():
    """Measure, print, write to build/bench, and publish if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--publish", action="store_true", help="put the results into docs/")
    options = parser.parse_args()
    installed, missing = libraries()
    cases = [asdict(case) | {"results": measure(case, installed)} for case in tqdm(CASES)]
    results = {
        "machine": machine(),
        "missing": missing,
        "cases": cases,
        "growth": {"one vector": growth(None), "rows of 10": growth(10)},
        "imports": import_times(),
        "distillation": distillation(),
    }
    text = report(results)
    print(text)
    BUILD.mkdir(parents=True, exist_ok=True)
    data = json.dumps(results, indent=1).replace("Infinity", "null")  # JSON has no infinite errors
    (BUILD / "benchmark.json").write_text(data + "\n", encoding="utf-8")
    (BUILD / "benchmark.md").write_text(text, encoding="utf-8")
    draw(cases).savefig(BUILD / "benchmark.png", metadata={"Software": None})
    if options.publish:
        publish(text)


if __name__ == "__main__":
    main()
