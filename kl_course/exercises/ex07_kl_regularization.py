"""The exercises of notebook 07_kl_regularization."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def weight_penalty(w, s, t):
    """Return the part of KL(N(w, s²) || N(0, t²)) that depends on w, summed over w."""
    return np.sum(w**2) / (2 * t**2)


def smooth_labels(labels, classes, eps):
    """Return the targets (1 - eps) * one-hot + eps * uniform, one row for each label."""
    return (1 - eps) * np.eye(classes)[labels] + eps / classes


def calibration_error(probabilities, labels, bins):
    """Return the expected calibration error, a number from 0 to 1."""
    confidence, right = _confidence(probabilities, labels)
    return sum(share * abs(gap) for share, gap in _gaps(confidence, right, bins))


# 7.1 ---------------------------------------------------------------------------------------------

_WEIGHTS = (np.array([0.5, -1.5, 2.0]), np.array([3.0, -0.25]))

_PENALTY = Exercise(
    id="7.1",
    title="The penalty of a normal prior",
    minutes=6,
    stub='''\
def weight_penalty(w, s, t):
    """Return the part of KL(N(w, s^2) || N(0, t^2)) that depends on w, summed over w."""
    ...
''',
    solution=weight_penalty,
    cases=(
        Case(np.array([1.0, -2.0]), 0.1, 2.0, note="Two weights, one of them negative."),
        Case(np.array([3.0]), 0.5, 0.7),
        Case(np.array([0.3, 0.0, -1.2, 2.5]), 0.05, 3.0),
        Case(np.zeros(3), 0.2, 1.5, note="Weights of 0 are where the prior expects them."),
    ),
    properties=(
        Property(
            "Doubling the weights makes it four times as large.",
            lambda f, w: np.isclose(f(2 * w, 0.3, 1.7), 4 * f(w, 0.3, 1.7)),
            inputs=tuple(map(Case, _WEIGHTS)),
        ),
        Property(
            "A prior that is twice as wide pulls a quarter as hard.",
            lambda f, w: np.isclose(f(w, 0.3, 3.4), f(w, 0.3, 1.7) / 4),
            inputs=tuple(map(Case, _WEIGHTS)),
        ),
    ),
    misconceptions=(
        (
            lambda w, s, t: np.sum(w**2) / (2 * t),
            "You divide by t where the formula has its square: t is a standard deviation, and the "
            "density of a normal distribution holds the variance.",
        ),
        (
            lambda w, s, t: np.sum(w**2) / t**2,
            "Your answer is twice too large. The exponent of a normal density has a factor that "
            "ridge regression usually hides in its strength: which one?",
        ),
        (
            lambda w, s, t: np.sum(w**2) / t,
            "Two things are missing: t is a standard deviation, so its square belongs there, and "
            "the exponent of a normal density has a factor of its own.",
        ),
        (
            lambda w, s, t: np.sum(np.log(t / s) + (s**2 + w**2) / (2 * t**2) - 1 / 2),
            "Your answer is the whole KL divergence. The task asks for the part that changes with "
            "the weights: what would be left if they were all 0?",
        ),
        (
            lambda w, s, t: np.sum(s**2 + w**2) / (2 * t**2),
            "Your answer still holds a term of s, which stays when the weights change. What would "
            "be left if they were all 0?",
        ),
        (
            lambda w, s, t: (np.sum(w**2) + s**2) / (2 * t**2),
            "Your answer holds s, too. Does that term move when w changes?",
        ),
        (
            lambda w, s, t: s**2 / t**2 * np.sum(w**2),
            "You write the strength of ridge regression, with s for the noise of the points. Here "
            "s is the spread of a weight, and nothing divides by the noise.",
        ),
        (
            lambda w, s, t: s**2 / (2 * t**2) * np.sum(w**2),
            "You multiply by the variance of the weights. In (7.2) it stands beside the squared "
            "mean, as a summand.",
        ),
        (
            lambda w, s, t: np.mean(w**2) / (2 * t**2),
            "Your answer is the mean over the weights. Independent weights add up their "
            "divergences, so ten weights pay ten times.",
        ),
        (
            lambda w, s, t: w**2 / (2 * t**2),
            "Your answer is a list, one penalty for each weight. An objective is one number: what "
            "is done with the terms?",
        ),
        (
            lambda w, s, t: np.sum(w**2) / (2 * s**2),
            "You measure the distance in units of s, the spread of the weights themselves. In "
            "KL(P‖Q) the squared distance is divided by the variance of Q: who is Q here?",
        ),
        (
            lambda w, s, t: np.sum(w) ** 2 / (2 * t**2),
            "You add first and square afterwards, so weights of opposite sign cancel. Each weight "
            "pays for its own distance from 0.",
        ),
        (
            lambda w, s, t: np.sqrt(np.sum(w**2)) / (2 * t**2),
            "You take the length of the weight vector. Ridge regression and the KL both have its "
            "square.",
        ),
        (
            lambda w, s, t: np.sum(np.abs(w)) / (2 * t**2),
            "You add absolute values. A normal density falls with the square of the distance; "
            "the absolute value belongs to another prior.",
        ),
        (
            lambda w, s, t: -np.sum(w**2) / (2 * t**2),
            "Your answer has the size of the log density of the prior, and its sign. A penalty "
            "grows as the weights leave the prior.",
        ),
        (
            lambda w, s, t: t**2 * np.sum(w**2) / 2,
            "Your answer grows with the width of the prior. A wide prior hardly minds where the "
            "weights are.",
        ),
    ),
)

# 7.2 ---------------------------------------------------------------------------------------------

_LABELS = (
    Case(np.array([0, 2, 1]), 3, 0.3),
    Case(np.array([4, 4, 0]), 5, 0.1),
)


def _one_hot(labels, classes):
    return np.eye(classes)[labels]


_SMOOTH = Exercise(
    id="7.2",
    title="Smooth labels",
    minutes=5,
    stub='''\
def smooth_labels(labels, classes, eps):
    """Return the targets (1 - eps) * one-hot + eps * uniform, one row for each label."""
    ...
''',
    solution=smooth_labels,
    cases=(
        Case(np.array([0, 2]), 3, 0.3, note="Two labels, three classes."),
        Case(np.array([1]), 2, 0.1),
        Case(np.array([3, 0, 1]), 4, 0.2),
        Case(np.array([1, 0]), 3, 0.0, note="With eps = 0 the targets are one-hot."),
        Case(np.array([1, 0]), 4, 1.0, note="With eps = 1 the labels no longer matter."),
    ),
    properties=(
        Property(
            "Each row sums to 1.",
            lambda f, labels, classes, eps: np.allclose(
                np.sum(f(labels, classes, eps), axis=-1), 1, atol=_SMALL
            ),
            inputs=_LABELS,
        ),
    ),
    misconceptions=(
        (
            lambda labels, classes, eps: np.where(
                _one_hot(labels, classes) > 0, 1 - eps, eps / (classes - 1)
            ),
            "You spread eps over the other classes alone. The uniform distribution includes the "
            "class of the label: it gets its share back.",
        ),
        (
            lambda labels, classes, eps: (
                (1 - eps) * _one_hot(labels, classes) + eps / (classes - 1)
            ),
            "You divide eps by one class too few: the rows sum to more than 1. Over how many "
            "classes is a uniform distribution spread?",
        ),
        (
            lambda labels, classes, eps: (1 - eps) * _one_hot(labels, classes) + eps,
            "Each class gets the whole eps, so the rows sum to more than 1. How much does a "
            "uniform distribution give to one class?",
        ),
        (
            lambda labels, classes, eps: (1 - eps) * _one_hot(labels, classes) + eps * classes,
            "You multiply by the number of classes. The uniform distribution divides 1 among them.",
        ),
        (
            lambda labels, classes, eps: eps * _one_hot(labels, classes) + (1 - eps) / classes,
            "Your weights are swapped: the label gets eps, and the uniform distribution the rest. "
            "A small eps should change the labels a little.",
        ),
        (
            lambda labels, classes, eps: (1 - eps) * _one_hot(labels, classes),
            "You take eps from the label and give it to nobody: the rows sum to less than 1. Who "
            "gets it?",
        ),
        (
            lambda labels, classes, eps: _one_hot(labels, classes) + eps / classes,
            "You add the uniform part and take nothing from the label: the rows sum to more than "
            "1. A mixture has weights that sum to 1.",
        ),
        (
            lambda labels, classes, eps: np.where(
                _one_hot(labels, classes) > 0, 1 - eps, eps / classes
            ),
            "The other classes are right, but the class of the label lacks its own share of the "
            "uniform distribution: the rows sum to less than 1.",
        ),
        (
            lambda labels, classes, eps: smooth_labels(labels, classes, eps).T,
            "Your answer has a column for each label. Losses expect a row for each: examples "
            "first, classes last.",
        ),
        (
            lambda labels, classes, eps: smooth_labels(labels - 1, classes, eps),
            "Your labels are one off: they count from 0 here, so label 0 is the first column.",
        ),
        (
            lambda labels, classes, eps: _one_hot(labels, classes),
            "Your targets are one-hot: eps has no effect. How much of it goes to each class?",
        ),
        (
            lambda labels, classes, eps: np.full((len(labels), classes), 1 / classes),
            "Your targets are uniform whatever the label is. That is right for eps = 1 alone.",
        ),
    ),
)

# 7.3 ---------------------------------------------------------------------------------------------


def _confidence(probabilities, labels):
    """Return the largest probability of each row, and whether its class is the label."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def _gaps(confidence, right, bins):
    """Return the share of each bin that is not empty, and its accuracy minus its confidence."""
    index = np.minimum((bins * confidence).astype(int), bins - 1)
    members = [index == b for b in range(bins)]
    return [(m.mean(), right[m].mean() - confidence[m].mean()) for m in members if m.any()]


def _all_gaps(probabilities, labels, bins):
    return np.array(_gaps(*_confidence(probabilities, labels), bins))


def _of_true_class(probabilities, labels, bins):
    confidence = probabilities[np.arange(len(labels)), labels]
    right = probabilities.argmax(axis=1) == labels
    return sum(share * abs(gap) for share, gap in _gaps(confidence, right, bins))


def _nan_if_a_bin_is_empty(probabilities, labels, bins):
    full = len(_all_gaps(probabilities, labels, bins)) == bins
    return calibration_error(probabilities, labels, bins) if full else np.nan


def _without_the_last(probabilities, labels, bins):
    confidence, right = _confidence(probabilities, labels)
    index = (bins * confidence).astype(int)
    sums = [np.sum((right - confidence)[index == b]) for b in range(bins)]
    return np.sum(np.abs(sums)) / len(labels)


_TABLE = np.array(
    [
        [0.96, 0.02, 0.02],
        [0.03, 0.91, 0.06],
        [0.02, 0.01, 0.97],
        [0.62, 0.30, 0.08],
        [0.25, 0.10, 0.65],
        [0.33, 0.45, 0.22],
        [0.72, 0.16, 0.12],
    ]
)
_TRUE = np.array([0, 1, 1, 0, 2, 0, 0])
_COIN_TABLE = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.4, 0.6], [0.55, 0.45]])

_ECE = Exercise(
    id="7.3",
    title="Expected calibration error",
    minutes=8,
    stub='''\
def calibration_error(probabilities, labels, bins):
    """Return the expected calibration error, a number from 0 to 1."""
    ...
''',
    solution=calibration_error,
    cases=(
        Case(
            np.array([[0.875, 0.125], [0.75, 0.25], [0.75, 0.25], [0.625, 0.375]]),
            np.array([0, 1, 0, 0]),
            1,
            note="One bin: mean confidence 0.75, and three of four are right.",
        ),
        Case(_TABLE, _TRUE, 5, note="Seven images, five bins; some bins are empty."),
        Case(_TABLE, _TRUE, 10),
        Case(_COIN_TABLE, np.array([0, 0, 1, 0, 1]), 4),
        Case(
            np.array([[1.0, 0.0], [1.0, 0.0], [0.3, 0.7]]),
            np.array([0, 1, 1]),
            10,
            note="Two predictions are quite sure, and one of them is wrong.",
        ),
    ),
    properties=(
        Property(
            "The order of the images does not matter.",
            lambda f, table, labels: np.isclose(
                f(table[::-1], labels[::-1], 5), calibration_error(table, labels, 5)
            ),
            inputs=(Case(_TABLE, _TRUE),),
        ),
        Property(
            "It is 0 for a model that is sure and right.",
            lambda f, labels: abs(f(np.eye(3)[labels], labels, 10)) < _SMALL,
            inputs=(Case(np.array([0, 2, 1, 1])),),
        ),
    ),
    misconceptions=(
        (
            lambda table, labels, bins: np.mean(np.abs(_all_gaps(table, labels, bins)[:, 1])),
            "Your answer counts each bin alike. A bin with few images should count little: how "
            "large is its share?",
        ),
        (
            lambda table, labels, bins: np.sum(np.abs(_all_gaps(table, labels, bins)[:, 1])) / bins,
            "Your answer divides the sum of the gaps by the number of bins, the empty ones "
            "included. Each gap should count with the share of images in its bin.",
        ),
        (
            lambda table, labels, bins: np.sum(np.abs(_all_gaps(table, labels, bins)[:, 1])),
            "Your answer adds the gaps without weights, and can exceed 1. How large a share of "
            "the images is in each bin?",
        ),
        (
            lambda table, labels, bins: np.prod(_all_gaps(table, labels, bins), axis=1).sum(),
            "In your answer a bin that is too sure cancels one that is not sure enough. The size "
            "of each gap counts, not its sign.",
        ),
        (
            lambda table, labels, bins: abs(_all_gaps(table, labels, 1)[0, 1]),
            "Your answer compares the mean confidence with the accuracy of all images at once. "
            "Within the bins, errors of both signs may hide: take the gap of each bin.",
        ),
        (
            _of_true_class,
            "Your confidence is the probability of the true class, which the model does not know. "
            "Take that of the class it predicts.",
        ),
        (
            lambda table, labels, bins: np.mean(
                np.abs(np.subtract(*_confidence(table, labels), dtype=float))
            ),
            "You take the gap image by image. A single image is right or wrong; accuracy needs a "
            "whole bin. Average within the bin first.",
        ),
        (
            lambda table, labels, bins: 100 * calibration_error(table, labels, bins),
            "Your answer is in percentage points. The task asks for a number from 0 to 1.",
        ),
        (
            lambda table, labels, bins: np.max(np.abs(_all_gaps(table, labels, bins)[:, 1])),
            "Your answer is the gap of the worst bin. The expected error averages over the images.",
        ),
        (
            lambda table, labels, bins: np.sum(
                np.prod(_all_gaps(table, labels, bins) ** np.array([1, 2]), axis=1)
            ),
            "Your answer squares the gaps, so small ones hardly count. The definition in the "
            "lesson takes their size as it is.",
        ),
        (
            _nan_if_a_bin_is_empty,
            "The mean of an empty bin is 0/0: leave such a bin out.",
        ),
        (
            _without_the_last,
            "Images with a confidence of exactly 1 fall out of your bins. They belong to the last "
            "one.",
        ),
    ),
)

EXERCISES = (_PENALTY, _SMOOTH, _ECE)
