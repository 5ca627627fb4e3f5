"""The exercises of notebook 05_estimating_and_projecting."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def merged(first, second):
    """Return (value, stderr) of both runs together; each run is (n, value, stderr)."""
    n, values, stderrs = np.transpose([first, second])
    value = n @ values / n.sum()
    within = n * (n - 1) * stderrs**2  # squared deviations from the run's own mean
    squares = np.sum(within + n * (values - value) ** 2)
    return value, np.sqrt(squares / (n.sum() * (n.sum() - 1)))


def k3_estimate(log_p, log_q):
    """Return the k3 estimate of KL(P || Q), in nats, from the log densities at samples of P."""
    r = log_q - log_p
    return np.mean(np.expm1(r) - r)


def best_normal(weights, means, stds):
    """Return (mean, std) of the normal Q with the smallest KL(P || Q), P a mixture of normals."""
    mean = weights @ means
    variance = weights @ (stds**2 + (means - mean) ** 2)
    return mean, np.sqrt(variance)


# 5.1 ---------------------------------------------------------------------------------------------


def _merge_by(value, stderr):
    """Return a wrong `merged` from functions of the arrays n, values and stderrs."""

    def wrong(first, second):
        run = np.transpose([first, second])
        return value(*run), stderr(*run)

    return wrong


def _weighted(n, values, stderrs):
    return n @ values / n.sum()


def _plain(n, values, stderrs):
    return values.mean()


def _precise(n, values, stderrs):
    return np.sum(values / stderrs**2) / np.sum(1 / stderrs**2)


def _independent(n, values, stderrs):
    return np.sqrt(np.sum((n * stderrs) ** 2)) / n.sum()


def _within(n, values, stderrs):
    return np.sqrt(np.sum(n * (n - 1) * stderrs**2) / (n.sum() * (n.sum() - 1)))


def _divided_by(runs, total):
    """Return a `stderr` with n (n - runs) and N (N - total) for n (n - 1) and N (N - 1)."""

    def wrong(n, values, stderrs):
        squares = n * (n - runs) * stderrs**2 + n * (values - _weighted(n, values, stderrs)) ** 2
        return np.sqrt(np.sum(squares) / (n.sum() * (n.sum() - total)))

    return wrong


_EVEN = ((100, 0.5, 0.2), (100, 0.5, 0.1))
_UNEVEN = ((400, 0.62, 0.03), (100, 0.8, 0.07))

_MERGE = Exercise(
    id="5.1",
    title="Merge two runs",
    minutes=8,
    stub='''\
def merged(first, second):
    """Return (value, stderr) of both runs together; each run is (n, value, stderr)."""
    ...
''',
    solution=merged,
    cases=(
        Case((10, 1.0, 0.3), (30, 2.0, 0.2), note="The two means lie apart."),
        Case(*_EVEN, note="Two runs of 100 samples with the same mean."),
        Case(*_UNEVEN, note="The longer run counts more."),
        Case((2, 0.0, 1.0), (3, -1.0, 0.5)),
        Case(
            (5, 1.0, 0.0),
            (5, 3.0, 0.0),
            note="Each run saw one value only; together they saw two.",
        ),
    ),
    properties=(
        Property(
            "The order of the two runs does not matter.",
            lambda f, a, b: np.allclose(f(a, b), f(b, a), rtol=1e-9),
            inputs=(Case(*_UNEVEN),),
        ),
    ),
    misconceptions=(
        (
            lambda first, second: merged(first, second)[0],
            "Your value may be right, but its standard error is missing. Return the two "
            "together, as a pair.",
        ),
        (
            _merge_by(_plain, lambda n, values, stderrs: np.sqrt(np.sum(stderrs**2)) / 2),
            "You take the plain mean of the two values. Each sample should count the same, "
            "whichever run drew it: how much does a run of 30 count against one of 10?",
        ),
        (
            _merge_by(_plain, lambda n, values, stderrs: stderrs.mean()),
            "You average the two values and the two errors, whatever the number of samples. Which "
            "run should count more? And should twice the samples not lower the error?",
        ),
        (
            lambda first, second: (
                _plain(*np.transpose([first, second])),
                merged(first, second)[1],
            ),
            "The standard error is right. The value takes no notice of the sizes of the runs: "
            "let each sample count the same.",
        ),
        (
            _merge_by(_weighted, lambda n, values, stderrs: n @ stderrs / n.sum()),
            "The value is right. But an average of the two errors does not fall below the "
            "smaller one, though there are more samples now. Go back to the sums of squares.",
        ),
        (
            _merge_by(_weighted, lambda n, values, stderrs: stderrs.sum()),
            "The value is right. Standard errors do not add up. What adds up are squared "
            "deviations, taken from the common mean.",
        ),
        (
            _merge_by(_weighted, _independent),
            "Nearly: the value is right. What adds up are sums of squares: a run's is "
            "n(n - 1) stderr², and the total is divided by N and by N - 1. Are these the squared "
            "deviations from the common mean, too, where the two means lie apart?",
        ),
        (
            _merge_by(_weighted, _within),
            "The value is right. Your squared deviations are taken from each run's own mean. "
            "From the common mean they are larger: by how much, if the means lie apart?",
        ),
        (
            _merge_by(_precise, lambda n, values, stderrs: 1 / np.sqrt(np.sum(1 / stderrs**2))),
            "You weigh each run by its estimated precision. One run over all samples would count "
            "each sample once; and a run that happened to spread little is not more right.",
        ),
        (
            _merge_by(_weighted, lambda n, values, stderrs: np.sqrt(np.sum(stderrs**2))),
            "The value is right. Your error is that of a sum of two values, not of the mean of "
            "all samples.",
        ),
        (
            lambda first, second: (
                merged(first, second)[0],
                merged(first, second)[1] * np.sqrt(first[0] + second[0]),
            ),
            "The value is right. Your second number is the standard deviation of one sample. "
            "What is that of the mean of n samples?",
        ),
        (
            lambda first, second: (merged(first, second)[0], merged(first, second)[1] ** 2),
            "The value is right. Your second number is the squared standard error; one step "
            "is missing.",
        ),
        (
            _merge_by(_weighted, _divided_by(0, 0)),
            "Nearly: the value is right, and the error for long runs. A squared standard error "
            "is a sum of squares divided by n(n - 1), not by n². Look at both ends: what undoes "
            "this for each run, and what does it for all N samples?",
        ),
        (
            _merge_by(_weighted, _divided_by(1, 0)),
            "Nearly: the value is right, and so is the sum of all squares. In the end you divide "
            "it by N². Which divisor does `ddof=1` ask for?",
        ),
        (
            _merge_by(_weighted, _divided_by(0, 1)),
            "Nearly: the value is right, and so is the last divisor, N(N - 1). By what was a "
            "run's sum of squares divided to give its stderr²? Multiply by the same.",
        ),
    ),
)

# 5.2 ---------------------------------------------------------------------------------------------

_RATIOS = (
    (np.array([-1.0, -2.0, -0.5]), np.array([-2.0, -1.5, -1.5])),
    (np.array([-0.3, -1.1, -0.7, -2.0]), np.array([-0.4, -1.0, -0.9, -3.0])),
)


def _mean_of(term):
    """Return the function that averages a term of r = log q - log p."""
    return lambda log_p, log_q: np.mean(term(log_q - log_p))


_K3 = Exercise(
    id="5.2",
    title="The estimator k3",
    minutes=5,
    stub='''\
def k3_estimate(log_p, log_q):
    """Return the k3 estimate of KL(P || Q), in nats, from the log densities at samples of P."""
    ...
''',
    solution=k3_estimate,
    cases=(
        Case(*_RATIOS[0]),
        Case(*_RATIOS[1]),
        Case(
            np.array([-1.0, -1.0]),
            np.array([-1.0, -1.0]),
            note="Where the densities agree, nothing is to be paid.",
        ),
        Case(
            np.array([-2.0, -1.0]),
            np.array([-1.0, -2.0]),
            note="The plain mean of the log ratios is 0 here.",
        ),
        Case(
            np.array([-1.0, -800.0]),
            np.array([-2.0, -801.0]),
            note="Far out, densities are 0 to a computer. Their logarithms are not.",
        ),
    ),
    properties=(
        Property(
            "k3 is never negative, sample by sample.",
            lambda f, log_p, log_q: all(
                f(np.array([a]), np.array([b])) >= -_SMALL
                for a, b in zip(log_p, log_q, strict=True)
            ),
            inputs=tuple(Case(*pair) for pair in _RATIOS),
        ),
        Property(
            "A constant added to both logarithms changes nothing.",
            lambda f, log_p, log_q: np.isclose(f(log_p + 1, log_q + 1), f(log_p, log_q), rtol=1e-9),
            inputs=tuple(Case(*pair) for pair in _RATIOS),
        ),
    ),
    misconceptions=(
        (
            lambda log_p, log_q: np.expm1(log_q - log_p) - (log_q - log_p),
            "These are the terms, one for each sample. The estimate is one number: a mean.",
        ),
        (
            lambda log_p, log_q: np.sum(np.expm1(log_q - log_p) - (log_q - log_p)),
            "You add the terms up. KL is a mean over the samples, or it would grow with each one.",
        ),
        (
            _mean_of(lambda r: np.expm1(-r) + r),
            "Your ratio stands on its head. At samples of P, the mean of q/p is 1; that of p/q is "
            "not. What is r?",
        ),
        (
            _mean_of(lambda r: np.expm1(-r) - r),
            "Your first part takes p/q, your second log(p/q). Only q/p has the mean 1 under P: "
            "use one and the same r in both parts.",
        ),
        (
            _mean_of(lambda r: np.expm1(r) + r),
            "The sign of your second part is wrong: with it, the mean under P is minus the KL. "
            "Which sign has k1?",
        ),
        (
            _mean_of(lambda r: np.exp(r) - r),
            "Your estimate is too large by exactly 1. The control variate should have the "
            "mean 0, and the mean of q/p is 1.",
        ),
        (
            _mean_of(lambda r: r - np.expm1(r)),
            "Your estimate has the opposite sign: it is never positive. Turn both parts round.",
        ),
        (
            _mean_of(lambda r: -r),
            "This is k1, the plain mean of the log ratios. The control variate is missing: what "
            "has the mean 0 under P?",
        ),
        (
            _mean_of(lambda r: r),
            "This is k1 with the wrong sign. KL(P‖Q) is the mean of log p - log q; then add the "
            "control variate.",
        ),
        (
            _mean_of(lambda r: r**2 / 2),
            "This is k2, half the squared log ratio. It is biased; k3 has the exponential in it.",
        ),
        (
            _mean_of(lambda r: r**2),
            "This is twice k2, the mean squared log ratio. k3 has the exponential of r in it.",
        ),
        (
            _mean_of(np.abs),
            "This is the mean absolute log ratio. It is never negative, but it is not unbiased. "
            "Add a control variate instead of cutting off the sign.",
        ),
        (
            _mean_of(lambda r: np.maximum(-r, 0)),
            "You cut negative log ratios off at 0. That biases the mean upwards. The control "
            "variate lifts some terms, lowers others, and leaves the mean alone.",
        ),
        (
            lambda log_p, log_q: np.sum(np.exp(log_p) * (np.expm1(log_q - log_p) + log_p - log_q)),
            "You weigh each sample by its density. The samples come from P already: likely "
            "places are met more often. A plain mean does it.",
        ),
        (
            lambda log_p, log_q: np.mean(
                np.exp(log_q) / np.exp(log_p) - 1 - np.log(np.exp(log_q) / np.exp(log_p))
            ),
            "You form the densities first. Far out they are 0 to a computer, and 0/0 is nan. "
            "Subtract the logarithms, then take the exponential.",
        ),
    ),
)

# 5.3 ---------------------------------------------------------------------------------------------

_TWO_MODES = (np.array([0.5, 0.5]), np.array([-3.0, 3.0]), np.array([0.8, 0.8]))
_SKEWED = (np.array([0.7, 0.2, 0.1]), np.array([0.0, 2.0, 5.0]), np.array([1.0, 0.5, 2.0]))


def _with_std(std):
    """Return a wrong `best_normal` with the right mean; std gets weights, stds and offsets."""

    def wrong(weights, means, stds):
        mean = weights @ means
        return mean, std(weights, stds, means - mean)

    return wrong


def _heaviest(weights, means, stds):
    mode = np.argmax(weights)
    return means[mode], stds[mode]


_PROJECTION = Exercise(
    id="5.3",
    title="The best normal for a mixture",
    minutes=6,
    stub='''\
def best_normal(weights, means, stds):
    """Return (mean, std) of the normal Q with the smallest KL(P || Q), P a mixture of normals."""
    ...
''',
    solution=best_normal,
    cases=(
        Case(*_TWO_MODES, note="The mixture of the lesson."),
        Case(*_SKEWED),
        Case(np.array([0.25, 0.75]), np.array([1.0, 3.0]), np.array([0.5, 1.5])),
        Case(
            np.array([0.1, 0.9]),
            np.array([2.0, 2.0]),
            np.array([3.0, 1.0]),
            note="One mean, two widths.",
        ),
        Case(np.array([1.0]), np.array([-2.0]), np.array([0.7]), note="P is a normal itself."),
    ),
    properties=(
        Property(
            "The order of the components does not matter.",
            lambda f, weights, means, stds: np.allclose(
                f(weights[::-1], means[::-1], stds[::-1]), f(weights, means, stds), rtol=1e-9
            ),
            inputs=(Case(*_SKEWED),),
        ),
        Property(
            "If all means move by 1, the mean moves by 1 and the std stays.",
            lambda f, weights, means, stds: np.allclose(
                np.subtract(f(weights, means + 1, stds), f(weights, means, stds)),
                [1, 0],
                atol=1e-9,
            ),
            inputs=(Case(*_TWO_MODES), Case(*_SKEWED)),
        ),
    ),
    misconceptions=(
        (
            lambda weights, means, stds: best_normal(weights, means, stds)[0],
            "The mean is there; the standard deviation is missing. Return the two together, as "
            "a pair.",
        ),
        (
            _with_std(lambda weights, stds, offsets: weights @ stds),
            "You average the standard deviations of the components. Samples of the mixture also "
            "spread because the components stand in different places.",
        ),
        (
            _with_std(lambda weights, stds, offsets: np.sqrt(weights @ stds**2)),
            "You average the variances within the components. What do the distances between "
            "their means add to the spread of all samples?",
        ),
        (
            _with_std(lambda weights, stds, offsets: np.sqrt(weights @ offsets**2)),
            "Your variance is that of the means alone. Each component has a width of its own, "
            "which adds to it.",
        ),
        (
            _with_std(lambda weights, stds, offsets: weights @ (stds**2 + offsets**2)),
            "Your second number is the variance of the mixture. The function promises the "
            "standard deviation.",
        ),
        (
            _with_std(lambda weights, stds, offsets: np.sqrt(weights @ (stds + offsets**2))),
            "You add standard deviations to squared distances. Which power of a standard "
            "deviation adds up?",
        ),
        (
            _with_std(
                lambda weights, stds, offsets: weights @ stds + np.sqrt(weights @ offsets**2)
            ),
            "You add two standard deviations, the one within and the one between components. "
            "Variances add up; their roots do not.",
        ),
        (
            lambda weights, means, stds: (weights @ means, np.sqrt(weights @ (stds**2 + means**2))),
            "Your variance is the mean square of x, taken from 0 instead of from the mean. The "
            "two agree only for a mixture with mean 0.",
        ),
        (
            lambda weights, means, stds: best_normal(
                np.full(len(means), 1 / len(means)), means, stds
            ),
            "You let all components count the same. The weights say how often each one is met.",
        ),
        (
            lambda weights, means, stds: (np.mean(means), np.mean(stds)),
            "You take plain averages of the parameters. The weights are not used, and nor is "
            "the distance between the means, which widens the mixture.",
        ),
        (
            lambda weights, means, stds: (
                np.sum(weights * means),
                np.sqrt(np.sum(weights**2 * stds**2)),
            ),
            "Your width is that of a weighted sum of independent variables. A mixture is no "
            "sum: each sample comes from one of the components.",
        ),
        (
            _heaviest,
            "You took one component. That is what KL(Q‖P) likes: it seeks a mode. KL(P‖Q) pays "
            "for every place where P happens, so Q has to cover all of them.",
        ),
    ),
)

EXERCISES = (_MERGE, _K3, _PROJECTION)
