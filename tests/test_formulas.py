"""docs/formulas.md and docs/cheatsheet.md: formulas, examples and references are right.

A formula of the first page stands below, word by word, beside its transcription into NumPy: whoever
changes the one has to look at the other.
"""

import math
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
from scipy import integrate, spatial, stats

import kl_course as kl

from .gates import NOTEBOOKS, prose
from .test_docs import run
from .test_glossary import anchor

PAGE = Path(__file__).parents[1] / "docs" / "formulas.md"
SHEET = PAGE.with_name("cheatsheet.md").read_text(encoding="utf-8")
CORE, NN = re.split(r"^(?=## Losses)", PAGE.read_text(encoding="utf-8"), flags=re.M)


def sections(text):
    """Return the sections of a text by their headings, without backticks."""
    parts = re.split(r"^###? ", text, flags=re.M)[1:]
    return {part.partition("\n")[0].strip("`"): part for part in parts}


def quantities(text):
    """Return the sections that are named by a function or class."""
    return {name: part for name, part in sections(text).items() if part.startswith("`")}


P, Q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.2, 0.3, 0.3])
HALF, SURE, OTHER = np.array([0.5, 0.5]), np.array([1.0, 0.0]), np.array([0.0, 1.0])
JOINT = np.array([[0.3, 0.1], [0.2, 0.4]])
MEANS, WIDTHS = (np.array([0.3, -1.2]), np.array([0.8, 2.0])), (np.array([0.4, 1.1]), 0.7)
S, T = np.array([[1.0, 0.4], [0.4, 0.5]]), np.array([[2.0, -0.3], [-0.3, 1.5]])
RNG = np.random.default_rng(0)
X, Y = RNG.normal(1, 1, (40, 2)), RNG.normal(0, 1, (50, 2))
COUNTS = np.array([5, 3, 0, 1])


def mean_surprise(p, q):
    return -sum(a * math.log(b) for a, b in zip(p, q, strict=True) if a)


def divergence(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True) if a)


def softmax(z, temperature=1.0):
    weights = [math.exp(x / temperature) for x in z]
    return np.array(weights) / sum(weights)


def normal(x, mean, std):
    return stats.norm(mean, std).logpdf(x)


def normal_terms(mean_p, std_p, mean_q, std_q):
    shift = (std_p**2 + (mean_p - mean_q) ** 2) / (2 * std_q**2)
    return np.log(std_q / std_p) + shift - 1 / 2


def log_ratios(x, mean=0.4, std=0.7):
    """Return log p(x), log q(x) for P = N(0, 1)."""
    return normal(x, 0, 1), normal(x, mean, std)


def k_means(x):
    log_p, log_q = log_ratios(x)
    r = log_q - log_p
    return [np.mean(-r), np.mean(r**2 / 2), np.mean(np.exp(r) - 1 - r)]


def neighbours(points, others, k):
    return np.sort(spatial.distance.cdist(points, others))[:, k - 1]


def running(pairs):
    result = kl.RunningKL()
    for p, q in pairs:
        result.update([p], [q])
    return result.result()


def mc_kl(estimator):
    return kl.mc_kl(normal_p, normal_q, X[:, 0], estimator=estimator).value


def normal_p(x):
    return log_ratios(x)[0]


def normal_q(x):
    return log_ratios(x)[1]


def gradient_by_quadrature(step=1e-4):
    """Return d/dθ of KL(N(θ, 1) ‖ N(0.4, 0.7²)) at θ = 0."""

    def divergence_at(mean):
        log_p, log_q = stats.norm(mean, 1).logpdf, stats.norm(0.4, 0.7).logpdf
        return integrate.quad(lambda x: np.exp(log_p(x)) * (log_p(x) - log_q(x)), -12, 12)[0]

    return (divergence_at(step) - divergence_at(-step)) / (2 * step)


def mean_under_p(f):
    return integrate.quad(lambda x: stats.norm(0, 1).pdf(x) * f(x), -12, 12)[0]


# By name: the formula as the page has it; what the package gives; what the formula gives.
FORMULAS = {
    "entropy": (
        r"H(P) = -\sum_i p_i \log p_i",
        lambda: kl.entropy(P),
        lambda: -sum(p * math.log(p) for p in P),
    ),
    "cross_entropy": (
        r"H(P, Q) = -\sum_i p_i \log q_i = H(P) + \mathrm{KL}(P \| Q)",
        lambda: [kl.cross_entropy(P, Q)] * 2,
        lambda: [mean_surprise(P, Q), mean_surprise(P, P) + divergence(P, Q)],
    ),
    "kl_divergence": (
        r"\mathrm{KL}(P \| Q) = \sum_i p_i \log \frac{p_i}{q_i}",
        lambda: kl.kl_divergence(P, Q),
        lambda: sum(p * math.log(p / q) for p, q in zip(P, Q, strict=True)),
    ),
    "js_divergence": (
        r"\mathrm{JS}(P, Q) = \tfrac12 \mathrm{KL}(P \| M) + \tfrac12 \mathrm{KL}(Q \| M), "
        r"\quad M = \tfrac12 (P + Q)",
        lambda: kl.js_divergence(P, Q),
        lambda: divergence(P, (P + Q) / 2) / 2 + divergence(Q, (P + Q) / 2) / 2,
    ),
    "jeffreys_divergence": (
        r"J(P, Q) = \mathrm{KL}(P \| Q) + \mathrm{KL}(Q \| P) "
        r"= \sum_i (q_i - p_i) \log \frac{q_i}{p_i}",
        lambda: [kl.jeffreys_divergence(P, Q)] * 2,
        lambda: [divergence(P, Q) + divergence(Q, P), sum((Q - P) * np.log(Q / P))],
    ),
    "total_variation": (
        r"\mathrm{TV}(P, Q) = \tfrac12 \sum_i |p_i - q_i| = \max_A |P(A) - Q(A)|",
        lambda: [kl.total_variation(P, Q)] * 2,
        lambda: [
            sum(abs(p - q) for p, q in zip(P, Q, strict=True)) / 2,
            max(abs((P - Q) @ event) for event in np.ndindex(2, 2, 2, 2)),
        ],
    ),
    "mutual_information": (
        r"I(X; Y) = \mathrm{KL}(P_{XY} \| P_X P_Y) "
        r"= \sum_{x, y} p(x, y) \log \frac{p(x, y)}{p(x)\, p(y)}",
        lambda: kl.mutual_information(JOINT),
        lambda: sum(
            JOINT[x, y] * math.log(JOINT[x, y] / (sum(JOINT[x]) * sum(JOINT[:, y])))
            for x, y in np.ndindex(2, 2)
        ),
    ),
    "bernoulli_kl": (
        r"\mathrm{KL}(P \| Q) = p \log \frac{p}{q} + (1 - p) \log \frac{1 - p}{1 - q}",
        lambda: kl.bernoulli_kl(0.3, 0.9),
        lambda: 0.3 * math.log(0.3 / 0.9) + (1 - 0.3) * math.log((1 - 0.3) / (1 - 0.9)),
    ),
    "kl_from_logits": (
        r"\mathrm{KL}(P \| Q), \quad p_i = \frac{e^{a_i / T}}{\sum_j e^{a_j / T}}, "
        r"\quad q_i = \frac{e^{b_i / T}}{\sum_j e^{b_j / T}}",
        lambda: kl.kl_from_logits([2.0, 0.0, -1.0], [0.0, 1.0, 0.0], temperature=3.0),
        lambda: divergence(softmax([2, 0, -1], 3), softmax([0, 1, 0], 3)),
    ),
    "normal_kl": (
        r"\mathrm{KL}(P \| Q) = \log \frac{\sigma_q}{\sigma_p} "
        r"+ \frac{\sigma_p^2 + (\mu_p - \mu_q)^2}{2 \sigma_q^2} - \frac12",
        lambda: kl.normal_kl(mean_p=0, std_p=1, mean_q=0.4, std_q=0.7),
        lambda: [normal_terms(0, 1, 0.4, 0.7), mean_under_p(lambda x: np.subtract(*log_ratios(x)))],
    ),
    "diag_normal_kl": (
        r"\mathrm{KL}(P \| Q) = \sum_{i=1}^{d} \left[ \log \frac{\sigma_{q,i}}{\sigma_{p,i}} "
        r"+ \frac{\sigma_{p,i}^2 + (\mu_{p,i} - \mu_{q,i})^2}{2 \sigma_{q,i}^2} "
        r"- \frac12 \right]",
        lambda: kl.diag_normal_kl(mean_p=MEANS[0], std_p=WIDTHS[0], mean_q=MEANS[1], std_q=0.7),
        lambda: sum(normal_terms(MEANS[0], WIDTHS[0], MEANS[1], 0.7)),
    ),
    "mvn_kl": (
        r"\mathrm{KL}(P \| Q) = \tfrac12 \left[ \mathrm{tr}(T^{-1} S) "
        r"+ (m - n)^\top T^{-1} (m - n) - d + \log \frac{\det T}{\det S} \right]",
        lambda: kl.mvn_kl(mean_p=MEANS[0], cov_p=S, mean_q=MEANS[1], cov_q=T),
        lambda: (
            (
                np.trace(np.linalg.inv(T) @ S)
                + (MEANS[0] - MEANS[1]) @ np.linalg.inv(T) @ (MEANS[0] - MEANS[1])
                - 2
                + math.log(np.linalg.det(T) / np.linalg.det(S))
            )
            / 2
        ),
    ),
    "normal_entropy": (
        r"h(P) = \tfrac12 \log (2 \pi e\, \sigma^2)",
        lambda: kl.normal_entropy(0.7),
        lambda: [math.log(2 * math.pi * math.e * 0.7**2) / 2, stats.norm(0, 0.7).entropy()],
    ),
    "mvn_entropy": (
        r"h(P) = \tfrac12 \log \left( (2 \pi e)^d \det S \right)",
        lambda: kl.mvn_entropy(S),
        lambda: [
            math.log((2 * math.pi * math.e) ** 2 * np.linalg.det(S)) / 2,
            stats.multivariate_normal(cov=S).entropy(),
        ],
    ),
    "mc_kl": (
        r"\mathrm{KL}(P \| Q) \approx \frac1n \sum_{t=1}^{n} k(x_t), "
        r"\quad r = \log \frac{q(x)}{p(x)}, \quad k_1 = -r, \quad k_2 = \frac{r^2}{2}, "
        r"\quad k_3 = e^r - 1 - r",
        lambda: [mc_kl(estimator) for estimator in ("k1", "k2", "k3")],
        lambda: k_means(X[:, 0]),
    ),
    "knn_kl": (
        r"\mathrm{KL}(P \| Q) \approx \frac{d}{n} \sum_{i=1}^{n} \log \frac{\nu_k(i)}{\rho_k(i)} "
        r"+ \log \frac{m}{n - 1}",
        lambda: kl.knn_kl(X, Y, k=3),
        lambda: (
            2 / 40 * sum(np.log(neighbours(X, Y, 3) / neighbours(X, X, 3 + 1))) + math.log(50 / 39)
        ),
    ),
    "plugin_entropy": (
        r"\hat H = -\sum_i \frac{n_i}{n} \log \frac{n_i}{n}, "
        r"\quad \hat H_{\mathrm{MM}} = \hat H + \frac{m - 1}{2 n}",
        lambda: [
            kl.plugin_entropy(COUNTS),
            kl.plugin_entropy(COUNTS, correction="miller-madow"),
            kl.plugin_entropy(COUNTS, correction="miller-madow", base=2) * math.log(2),
        ],
        lambda: mean_surprise(COUNTS / 9, COUNTS / 9) + np.array([0, 1, 1]) * (3 - 1) / (2 * 9),
    ),
    "RunningKL": (
        r"\frac1n \sum_{t=1}^{n} \mathrm{KL}(P_t \| Q_t) \pm \frac{s}{\sqrt n}",
        lambda: running([(P, Q), (Q, P), (P, P)]),
        lambda: (
            np.mean(rows := [divergence(P, Q), divergence(Q, P), 0]),
            np.std(rows, ddof=1) / math.sqrt(3),
        ),
    ),
    "score_gradient": (
        r"\nabla_\theta \mathrm{KL}(P_\theta \| Q) = \mathbb{E}_{P_\theta} \left[ "
        r"\log \frac{p_\theta(x)}{q(x)} \, \nabla_\theta \log p_\theta(x) \right]",
        lambda: [
            kl.score_gradient(normal_p, normal_q, lambda x: x[:, None], X[:, 0]).value[0],
            gradient_by_quadrature(),
        ],
        lambda: [
            np.mean(np.subtract(*log_ratios(X[:, 0])) * X[:, 0]),
            mean_under_p(lambda x: np.subtract(*log_ratios(x)) * x),
        ],
    ),
    "pathwise_gradient": (
        r"\nabla_\theta \mathrm{KL}(P_\theta \| Q) = \mathbb{E} \left[ \left( "
        r"\frac{\partial x}{\partial \theta} \right)^{\!\top} "
        r"\nabla_x \log \frac{p_\theta(x)}{q(x)} \right]",
        lambda: [
            kl.pathwise_gradient(
                lambda x: -x, lambda x: -(x - 0.4) / 0.7**2, lambda x: np.ones((40, 1, 1)), X[:, :1]
            ).value[0],
            gradient_by_quadrature(),
        ],
        lambda: [
            np.mean(-X[:, 0] + (X[:, 0] - 0.4) / 0.7**2),
            mean_under_p(lambda x: -x + (x - 0.4) / 0.7**2),
        ],
    ),
}
# Formulas that the cheat sheet alone has.
FROM_STANDARD_NORMAL = r"\tfrac12 \sum_i (\mu_i^2 + \sigma_i^2 - 1 - \log \sigma_i^2)"
REVERSE_GRADIENT = "q (log(q/p) − KL(Q ‖ P))"  # noqa: RUF001 (a minus sign)
PINSKER_IN_BITS = "Pinsker with KL in bits: TV ≤ √(KL · ln 2 / 2)"
# Where the page says “Infinite”.
INFINITE = {
    "cross_entropy": lambda: [kl.cross_entropy(HALF, SURE)],
    "kl_divergence": lambda: [kl.kl_divergence(HALF, SURE)],
    "jeffreys_divergence": lambda: [
        kl.jeffreys_divergence(HALF, SURE),
        kl.jeffreys_divergence(SURE, HALF),
    ],
    "bernoulli_kl": lambda: kl.bernoulli_kl([0.5, 0.5, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]),
    "kl_from_logits": lambda: [
        kl.kl_from_logits([0.0, 0.0], [0.0, -np.inf]),
        kl.kl_from_logits([0.0, 0.0], [0.0, -1e308], temperature=1e-3),
    ],
    "RunningKL": lambda: [running([(P, Q), (HALF, SURE)]).value],
}
# The largest values, or those at the edge, of what the page calls never infinite.
NEVER = {
    "entropy": lambda: (kl.entropy(np.full(8, 1 / 8)), math.log(8)),
    "js_divergence": lambda: (kl.js_divergence(SURE, OTHER), math.log(2)),
    "total_variation": lambda: (kl.total_variation(SURE, OTHER), 1),
    "mutual_information": lambda: (kl.mutual_information(np.diag(HALF)), kl.entropy(HALF)),
    "normal_kl": lambda: (
        kl.normal_kl(mean_p=0, std_p=[1e-300, 1, 1], mean_q=0, std_q=[1, 1e-100, 1e300]),
        [300 * math.log(10) - 0.5, 1e200 / 2, 300 * math.log(10) - 0.5],
    ),
    "diag_normal_kl": lambda: (
        kl.diag_normal_kl(mean_p=[0, 0], std_p=1e-300, mean_q=0, std_q=1),
        600 * math.log(10) - 1,
    ),
    "mvn_kl": lambda: (
        kl.mvn_kl(mean_p=0, cov_p=np.eye(2) * 1e-300, mean_q=0, cov_q=np.eye(2)),
        300 * math.log(10) - 1,
    ),
    "normal_entropy": lambda: (kl.normal_entropy(1 / math.sqrt(2 * math.pi * math.e)), 0),
    "mvn_entropy": lambda: (kl.mvn_entropy(np.eye(2) / (2 * math.pi * math.e)), 0),
    "plugin_entropy": lambda: (kl.plugin_entropy([7, 0]), 0),
}
# Where the page says that there is an error.
REFUSED = {
    "normal_kl": lambda: kl.normal_kl(mean_p=0, std_p=1, mean_q=0, std_q=0),
    "normal_entropy": lambda: kl.normal_entropy(0),
    "mvn_kl": lambda: kl.mvn_kl(mean_p=0, cov_p=S, mean_q=0, cov_q=[[1, 2], [2, 1]]),
    "mvn_entropy": lambda: kl.mvn_entropy([[1, 2], [2, 1]]),
    "mc_kl": lambda: kl.mc_kl(normal_p, lambda x: np.where(x > 1, -np.inf, 0), X[:, 0]),
    "knn_kl": lambda: kl.knn_kl(np.round(X), Y, k=1),
    "plugin_entropy": lambda: kl.plugin_entropy([0, 0]),
    "score_gradient": lambda: kl.score_gradient(
        normal_p, lambda x: np.where(x > 1, -np.inf, 0), lambda x: x[:, None], X[:, 0]
    ),
    "pathwise_gradient": lambda: kl.pathwise_gradient(
        lambda x: -x, lambda x: x / 0, lambda x: np.ones((40, 1, 1)), X[:, :1]
    ),
}
# The equations of the course that a section quotes, in its order.
EQUATIONS = {
    "entropy": ["1.2", "1.3"],
    "cross_entropy": ["1.9", "2.2", "6.2"],
    "kl_divergence": ["2.1", "2.3", "2.7"],
    "js_divergence": ["2.5", "2.6", "12.1"],
    "total_variation": ["3.5"],
    "mutual_information": ["1.7", "2.4", "4.7"],
    "bernoulli_kl": ["2.1"],
    "kl_from_logits": ["6.1", "9.1"],
    "normal_kl": ["4.2", "4.3"],
    "diag_normal_kl": ["4.5"],
    "mvn_kl": ["4.6"],
    "normal_entropy": ["4.4"],
    "mvn_entropy": ["4.4", "4.6"],
    "mc_kl": ["5.2", "5.3", "11.6"],
    "plugin_entropy": ["1.10"],
    "score_gradient": ["5.5"],
    "pathwise_gradient": ["5.6"],
    "Numbers that take one line": ["1.5", "6.4", "4.1", "11.4"],
    "KLFromLogits": ["6.2", "6.3"],
    "ConfidencePenalty": ["7.5", "7.6"],
    "ConsistencyLoss": ["10.2"],
    "DistillationLoss": ["9.2", "9.3", "9.4"],
    "VAE": ["8.5", "8.3"],
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name):
    formula, package, transcription = FORMULAS[name]
    assert shown(name, CORE) == formula
    given, expected = np.broadcast_arrays(package(), transcription())
    np.testing.assert_allclose(given, expected, rtol=1e-7)


def shown(name, text):
    """Return the display formula of a section."""
    (formula,) = re.findall(r"^\$\$ (.+) \$\$$", sections(text)[name], flags=re.M)
    return formula


@pytest.mark.parametrize("name", INFINITE)
def test_infinite(name):
    assert np.isposinf(INFINITE[name]()).all()


@pytest.mark.parametrize("name", NEVER)
def test_never_infinite(name):
    given, expected = NEVER[name]()
    np.testing.assert_allclose(given, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    with (
        np.errstate(divide="ignore", invalid="ignore"),
        pytest.raises(ValueError, match=r"expected|infinite"),
    ):
        REFUSED[name]()


def test_infinite_row_leaves_no_standard_error():
    assert np.isnan(running([(P, Q), (HALF, SURE)]).stderr)


def test_page_and_cases_agree():
    core = quantities(CORE)
    assert core.keys() == FORMULAS.keys() == set(kl.__all__) - {"Estimate"}
    assert "`Estimate`" in CORE
    assert INFINITE.keys() == {name for name, part in core.items() if "- **Infinite** " in part}
    assert NEVER.keys() == {name for name, part in core.items() if "- **Infinite:** never" in part}
    assert REFUSED.keys() == {name for name, part in core.items() if re.search("an\\s+error", part)}


@pytest.mark.parametrize(("name", "part"), (quantities(CORE) | quantities(NN)).items())
def test_section_is_complete(name, part):
    for word in ("Unit:", r"(Infinite|Undefined):?", "Direction:", "In the course:", "Mistake:"):
        assert len(re.findall(rf"^- \*\*{word}\*\*", part, flags=re.M)) == 1, word
    table = sections(CORE)["What do you have?"]
    assert f"[`{name}`](#{name.lower()})" in table


def notebook_sections():
    """Return the text of each section of level 2, its subsections included, by its address."""
    found = {}
    for path in NOTEBOOKS:
        text = "\n\n".join(cell.source for cell in prose(nbformat.read(path, as_version=4)))
        for part in re.split(r"^## ", text, flags=re.M)[1:]:
            found[f"notebooks/{path.name}#{anchor(part.partition(chr(10))[0])}"] = part
    return found


def test_references_lead_to_their_equations():
    addresses = notebook_sections()
    quoted = {}
    for name, part in (sections(CORE) | sections(NN)).items():
        for lesson, equation, address in re.findall(
            r"\[(\d\d)(?:,\s\((\d+\.\d+)\))?\]\((notebooks/\S+)\)", part
        ):
            assert address.startswith(f"notebooks/{lesson}_")
            assert f"\\tag{{{equation}}}" in addresses[address] or not equation, (name, equation)
            quoted.setdefault(name, []).extend([equation] if equation else [])
    assert {name: tags for name, tags in quoted.items() if tags} == EQUATIONS


def test_examples():
    assert run(CORE, {}) > 40


def plain(formula):
    """Return a formula without its spaces and sizes."""
    sizes = r"\\[,!]|\\(?:big|left|right)(?![A-Za-z])|\s"
    return re.sub(sizes, "", formula).replace(r"\tfrac", r"\frac")


def test_sheet_quotes_word_by_word():
    """A formula of the sheet is a part of the equation named with it, or of one of the page."""
    lessons = "".join(notebook_sections().values())
    equations = {tag: plain(line) for line, tag in re.findall(r"(.+)\\tag{(.+?)}", lessons)}
    page = [plain(formula) for formula in re.findall(r"^\$\$ (.+) \$\$$", CORE + NN, flags=re.M)]
    quoted = 0
    for item in re.split(r"\n(?=- |\||\n)", SHEET):
        named = [equations[tag] for tag in re.findall(r"\((\d+\.\d+)\)", item)]
        quoted += len(named)
        for formula in re.findall(r"\$(.+?)\$", item, flags=re.S):
            found = any(plain(formula) in source for source in named + page)
            assert found or formula == FROM_STANDARD_NORMAL, formula
    assert quoted > 50


def test_sheet_names_each_function():
    names = set(re.findall(r"`(\w+)(?:\(.*?\))?`", sections(SHEET)["Which function?"]))
    assert names - {"kl_course", "base"} == quantities(CORE).keys() | set(names_in(NN))


def names_in(text):
    """Return the names with a section or a row of their own."""
    return re.findall(r"^(?:### |\| )`(\w+)`", text, flags=re.M)


def test_numbers_of_the_sheet():
    rows = re.findall(r"^\| `(.+)` \| ([\d.]+) \|$", SHEET, flags=re.M)
    assert len(rows) > 10
    for call, number in rows:
        assert round(float(eval(call, vars(kl) | {"p": P, "q": Q})), 6) == float(number), call
    nat, bit = re.search(r"1 nat = ([\d.]+) bits, 1 bit = ([\d.]+) nats", SHEET).groups()
    assert float(nat) == round(1 / math.log(2), 6)
    assert float(bit) == round(math.log(2), 6)


def test_formulas_of_the_sheet_alone():
    z, target = np.array([2.0, 0.0, -1.0]), np.array([0.2, 0.7, 0.1])
    slopes = softmax_gradient(lambda p, z: divergence(softmax(z), p), target, z)
    q = softmax(z)
    np.testing.assert_allclose(slopes, q * (np.log(q / target) - divergence(q, target)), rtol=1e-6)

    mean, std = MEANS[0], WIDTHS[0]
    from_prior = sum(mean**2 + std**2 - 1 - np.log(std**2)) / 2
    assert np.isclose(from_prior, sum(normal_terms(mean, std, 0, 1)))

    bits = kl.kl_divergence(P, Q, base=2)
    assert np.isclose(np.sqrt(bits * math.log(2) / 2), np.sqrt(kl.kl_divergence(P, Q) / 2))
    for formula in (FROM_STANDARD_NORMAL, REVERSE_GRADIENT, PINSKER_IN_BITS):
        assert formula in " ".join(SHEET.split())


def softmax_gradient(loss, targets, logits, step=1e-5):
    """Return the difference quotients of a loss by its logits."""
    steps = step * np.eye(len(logits))
    return [(loss(targets, logits + e) - loss(targets, logits - e)) / (2 * step) for e in steps]


def test_losses():
    """All that needs Keras: the formulas, their limits and the examples."""
    keras = pytest.importorskip("keras")
    from kl_course import nn

    def value(loss):
        return lambda targets, logits: float(loss(np.array([targets]), np.array([logits])))

    z, v, label = np.array([2.0, 0.0, -1.0]), np.array([0.0, 1.0, 0.5]), np.array([1.0, 0.0, 0.0])
    never, soft, uniform = np.array([0.0, -np.inf, 0.0]), softmax(z), np.full(3, 1 / 3)
    exact = {"dtype": "float64"}
    match = value(nn.KLFromLogits(temperature=3.0, **exact))
    penalty = value(nn.ConfidencePenalty(weight=0.7, **exact))
    kl_move, mse_move = (value(nn.ConsistencyLoss(kind, **exact)) for kind in ("kl", "mse"))
    distil = value(nn.DistillationLoss(3.0, alpha=0.2, **exact))
    stacked = np.stack([label, z])
    formulas = {
        "KLFromLogits": (
            r"\mathrm{KL}(P \| Q), \quad q_i = \frac{e^{z_i / T}}{\sum_j e^{z_j / T}}, "
            r"\quad \frac{\partial}{\partial z_i} \mathrm{KL}(P \| Q) = \frac{q_i - p_i}{T}",
            [match(soft, v), *softmax_gradient(match, soft, v)],
            [divergence(soft, softmax(v, 3)), *(softmax(v, 3) - soft) / 3],
        ),
        "ConfidencePenalty": (
            r"\mathrm{KL}(P \| Q) + w\, \mathrm{KL}(Q \| U), "
            r"\quad \mathrm{KL}(Q \| U) = \log K - H(Q)",
            [penalty(soft, v)] * 2,
            [
                divergence(soft, softmax(v)) + 0.7 * divergence(softmax(v), uniform),
                divergence(soft, softmax(v))
                + 0.7 * (math.log(3) - mean_surprise(softmax(v), softmax(v))),
            ],
        ),
        "ConsistencyLoss": (
            r"\mathrm{KL}(P \| Q) \quad \text{or} \quad \frac1K \sum_i (q_i - p_i)^2, "
            r"\quad p = \mathrm{softmax}(z), \quad q = \mathrm{softmax}(z')",
            [kl_move(z, v), mse_move(z, v)],
            [divergence(softmax(z), softmax(v)), sum((softmax(v) - softmax(z)) ** 2) / 3],
        ),
        "DistillationLoss": (
            r"\alpha\, \mathrm{KL}(Y \| S_1) + (1 - \alpha)\, T^2\, \mathrm{KL}(P_T \| S_T), "
            r"\quad p_T = \mathrm{softmax}(z / T), \quad s_T = \mathrm{softmax}(v / T)",
            distil(stacked, v),
            0.2 * divergence(label, softmax(v))
            + (1 - 0.2) * 3**2 * divergence(softmax(z, 3), softmax(v, 3)),
        ),
        "VAE": (
            r"\mathbb{E}_q[-\log p(x \mid z)] + \beta\, \mathrm{KL}\big(Q \,\|\, N(0, I)\big)",
            *auto_encoder(keras, nn),
        ),
    }
    assert formulas.keys() == quantities(NN).keys()
    for name, (formula, given, expected) in formulas.items():
        assert shown(name, NN) == formula
        np.testing.assert_allclose(given, expected, rtol=1e-5, err_msg=name)
    assert set(nn.__all__) == set(names_in(NN))

    impossible = [match(soft, never), penalty(soft, never), kl_move(z, never)]
    impossible += [distil(stacked, never), distil([[0.0, 1.0, 0.0], never], never)]
    assert np.isposinf(impossible).all()
    assert distil([label, never], never) < 1
    assert match([0.5, 0, 0.5], never) < 1
    assert mse_move(z, never) < 1
    assert np.isclose(penalty(label, [99, 0, 0]), 0.7 * math.log(3))
    assert np.isclose(mse_move([99, 0, 0], [0, 99, 0]), 2 / 3)

    names = {}
    run(CORE, names)
    assert run(NN, names) > 20


def auto_encoder(keras, nn):
    """Return what an auto-encoder without noise in its latents reports, and its formula's parts."""
    mean, log_var = [0.3, -1.0], -30.0
    x_in, z_in = keras.Input((4,)), keras.Input((2,))
    heads = [
        keras.layers.Dense(
            2, kernel_initializer="zeros", bias_initializer=lambda *shape, dtype, b=b: b
        )
        for b in (np.array(mean), np.full(2, log_var))
    ]
    decoder = keras.Model(z_in, keras.layers.Dense(4)(z_in))
    vae = nn.VAE(keras.Model(x_in, [head(x_in) for head in heads]), decoder, beta=0.5, seed=0)
    vae.compile("adam")
    x = np.eye(4)[:3]
    logits = keras.ops.convert_to_numpy(decoder(np.array([mean])))[0]
    chances = 1 / (1 + np.exp(-logits.astype(float)))
    surprise = -np.log(np.where(x == 1, chances, 1 - chances)).sum(axis=1).mean()
    widths = np.full(2, math.exp(log_var / 2))
    rate = sum(normal_terms(np.array(mean), widths, 0, 1))
    return vae.evaluate(x, verbose=0), [surprise + 0.5 * rate, surprise, rate]
