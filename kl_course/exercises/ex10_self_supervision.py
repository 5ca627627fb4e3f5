"""The exercises of notebook 10_self_supervision."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def mean_teacher(weights, decay):
    """Return the teacher's weights after the student went through the rows of weights."""
    smoothed = weights[0]
    for student in weights[1:]:
        smoothed = decay * smoothed + (1 - decay) * student
    return smoothed


def pseudo_label_loss(probabilities, threshold):
    """Return the loss of the pseudo-labels, in nats, as a mean over all images."""
    confidence = probabilities.max(axis=1)
    return np.mean(np.where(confidence > threshold, -np.log(confidence), 0))


def soft_bits(targets, probabilities):
    """Return the cross-entropy H(target, model), in bits per character."""
    return np.mean(-np.sum(targets * np.log2(probabilities), axis=1))


# 10.1 --------------------------------------------------------------------------------------------

_PATHS = (
    Case(np.array([[1.0, -2.0], [0.5, 0.0], [3.0, 1.0]]), 0.7),
    Case(np.array([[0.0], [4.0], [2.0], [-1.0]]), 0.95),
)


def _teachers(weights, decay):
    return np.array([mean_teacher(weights[: n + 1], decay) for n in range(len(weights))])


_AVERAGE = Exercise(
    id="10.1",
    title="A teacher that follows",
    minutes=6,
    stub='''\
def mean_teacher(weights, decay):
    """Return the teacher's weights after the student went through the rows of weights."""
    ...
''',
    solution=mean_teacher,
    cases=(
        Case(np.array([[0.0, 1.0], [1.0, 3.0]]), 0.9, note="A start and one step."),
        Case(np.array([[2.0, -1.0], [1.0, 0.0], [4.0, 0.5]]), 0.8, note="Two steps."),
        Case(np.array([[1.0], [0.0], [3.0], [-2.0], [5.0]]), 0.6),
        Case(np.array([[3.0, 1.0], [5.0, 2.0]]), 0.0, note="Without memory."),
        Case(np.array([[3.0, 1.0], [5.0, 2.0]]), 1.0, note="A teacher that never moves."),
    ),
    properties=(
        Property(
            "A student that stands still has a teacher that stands still.",
            lambda f, weights, decay: np.allclose(
                f(np.repeat(weights[:1], 4, axis=0), decay), weights[0], atol=_SMALL
            ),
            inputs=_PATHS,
        ),
    ),
    misconceptions=(
        (
            lambda weights, decay: mean_teacher(weights, 1 - decay),
            "Your roles are swapped: with a decay near 1 this teacher follows each whim of the "
            "student. The decay is the share of the old teacher that is kept.",
        ),
        (
            lambda weights, decay: decay * weights[0] + (1 - decay) * weights[-1],
            "You mix the last student with the start alone. Each step mixes in the teacher of the "
            "step before, so the steps in between leave their trace.",
        ),
        (
            lambda weights, decay: decay * weights[-2] + (1 - decay) * weights[-1],
            "You mix the last two students. The second part of the mixture should be the old "
            "teacher, which remembers more than one step.",
        ),
        (
            lambda weights, decay: mean_teacher(np.vstack([0 * weights[:1], weights]), decay),
            "Your teacher starts from zeros, so it is too small at first. It starts as a copy of "
            "the student.",
        ),
        (
            lambda weights, decay: weights.mean(axis=0),
            "Yours is the plain mean: all steps count alike. Here older steps should fade, by a "
            "factor of decay with each new one.",
        ),
        (
            lambda weights, decay: weights[-1],
            "Your result is the last student itself. Which part of the old teacher is kept?",
        ),
        (
            lambda weights, decay: mean_teacher(weights[:-1], decay),
            "You stop one step early: the last row of weights is not mixed in.",
        ),
        (
            lambda weights, decay: mean_teacher(weights[::-1], decay),
            "You go through the steps backwards: the start counts as the newest.",
        ),
        (
            _teachers,
            "You return the teacher after every step. The last one is asked for.",
        ),
        (
            lambda weights, decay: np.mean(mean_teacher(weights, decay)),
            "You average over the weights, too: one number is left. Each weight of the teacher "
            "follows its own weight of the student.",
        ),
        (
            lambda weights, decay: (
                decay ** (len(weights) - 1) * weights[0] + mean_teacher(weights, decay)
            ),
            "The start counts twice. When the teacher begins as a copy of the student, its share "
            "fades with each step already.",
        ),
        (
            lambda weights, decay: (
                mean_teacher(weights, decay) - decay ** (len(weights) - 1) * weights[0]
            ),
            "Your shares do not sum to 1: after n steps the start keeps a share of decay**n.",
        ),
        (
            lambda weights, decay: (
                decay ** (len(weights) - 1) * weights[0]
                + (1 - decay) * decay ** np.arange(len(weights) - 1) @ weights[1:]
            ),
            "Your newest row has the smallest share. It should have the largest of the steps, "
            "1 - decay, and each older step less.",
        ),
        (
            lambda weights, decay: (
                decay ** np.arange(len(weights))
                @ weights[::-1]
                / np.sum(decay ** np.arange(len(weights)))
            ),
            "You divide by the sum of the shares. They sum to 1 without it, if the start has the "
            "share decay**n, with no factor 1 - decay.",
        ),
    ),
)

# 10.2 --------------------------------------------------------------------------------------------

_MIXED = np.array([[0.97, 0.02, 0.01], [0.5, 0.3, 0.2], [0.05, 0.9, 0.05], [0.4, 0.25, 0.35]])


def _log_loss(p):
    return -np.log(p.max(axis=1))


def _entropies(p):
    return -np.sum(p * np.log(p), axis=1)


def _kept(p, threshold):
    return p.max(axis=1) > threshold


_PSEUDO = Exercise(
    id="10.2",
    title="The loss of pseudo-labels",
    minutes=8,
    stub='''\
def pseudo_label_loss(probabilities, threshold):
    """Return the loss of the pseudo-labels, in nats, as a mean over all images."""
    ...
''',
    solution=pseudo_label_loss,
    cases=(
        Case(np.array([[0.9, 0.1], [0.6, 0.4]]), 0.8, note="One image of two is kept."),
        Case(_MIXED, 0.85, note="Two of four are kept."),
        Case(_MIXED, 0.0, note="A threshold of 0 keeps all."),
        Case(_MIXED[::-1], 0.45),
        Case(_MIXED[1:2], 0.95, note="No image is kept: nothing is to be learnt."),
    ),
    properties=(
        Property(
            "It is 0 if no image is sure enough, and positive with a threshold of 0.",
            lambda f, p: abs(f(p, 0.99)) < _SMALL and f(p, 0.0) > _SMALL,
            inputs=(Case(_MIXED), Case(_MIXED[:2])),
        ),
    ),
    misconceptions=(
        (
            lambda p, threshold: (
                np.mean(_log_loss(p) * _kept(p, threshold)) / np.mean(_kept(p, threshold))
            ),
            "You average over the kept images only. Then a single confident image weighs as much "
            "as a hundred, and with none the mean is nan. Divide by all images.",
        ),
        (
            lambda p, threshold: np.sum(_log_loss(p) * _kept(p, threshold)),
            "Your answer is the sum: it grows with the number of images. The task asks for a mean.",
        ),
        (
            lambda p, threshold: np.mean(_log_loss(p)),
            "Your threshold has no effect: each image teaches, also where the model only guesses.",
        ),
        (
            lambda p, threshold: np.mean(_log_loss(p) * ~_kept(p, threshold)),
            "You keep the doubtful images and leave out the confident ones.",
        ),
        (
            lambda p, threshold: np.mean(_log_loss(p) * (np.log(p).max(axis=1) > threshold)),
            "Your threshold is compared with a logarithm. It is meant for the largest probability.",
        ),
        (
            lambda p, threshold: np.mean(_entropies(p) * _kept(p, threshold)),
            "Yours is the entropy of the prediction: a soft target. A pseudo-label is hard: all "
            "of the target is on one class.",
        ),
        (
            lambda p, threshold: np.mean(_entropies(p)),
            "Yours is the mean entropy of all predictions. Two things are missing: the threshold, "
            "and the hard label that it keeps.",
        ),
        (
            lambda p, threshold: np.mean(-np.log2(p.max(axis=1)) * _kept(p, threshold)),
            "Your answer is in bits. The task asks for nats: which logarithm?",
        ),
        (
            lambda p, threshold: np.mean(-_log_loss(p) * _kept(p, threshold)),
            "Your answer has the opposite sign: the logarithm of a probability is negative, a "
            "surprise is not.",
        ),
        (
            lambda p, threshold: _log_loss(p) * _kept(p, threshold),
            "You return one loss for each image. The mean over the images is missing.",
        ),
        (
            lambda p, threshold: np.mean(-np.sum(np.where(p > threshold, np.log(p), 0), axis=1)),
            "You compare each probability with the threshold, so one image can teach several "
            "classes. First pick the likeliest class, then ask whether it is likely enough.",
        ),
        (
            lambda p, threshold: np.sum(_log_loss(p) * _kept(p, threshold)) / p.size,
            "You divide by the number of entries, classes included. How many images are there?",
        ),
        (
            lambda p, threshold: np.mean(np.where(p > threshold, -np.log(p), 0)),
            "You treat each entry as an image: you compare it with the threshold, and average over "
            "the classes, too. First take the largest entry of each row.",
        ),
        (
            lambda p, threshold: np.mean(
                np.where(_kept(p, threshold), -np.log(np.maximum(p.argmax(axis=1), 1e-300)), 0)
            ),
            "Your surprise is that of argmax, which is the place of the largest entry. The entry "
            "itself is max.",
        ),
        (
            lambda p, threshold: np.mean((1 - p.max(axis=1)) * _kept(p, threshold)),
            "Yours is 1 minus the confidence: a share of errors, if the confidence is right. A "
            "surprise is minus a logarithm.",
        ),
        (
            lambda p, threshold: pseudo_label_loss(p.T, threshold),
            "You take the largest entry of each column, the wrong axis. The images are the rows.",
        ),
    ),
)

# 10.3 --------------------------------------------------------------------------------------------

_TARGETS = np.array([[0.5, 0.5, 0.0], [0.1, 0.2, 0.7], [1.0, 0.0, 0.0]])
_MODEL = np.array([[0.25, 0.5, 0.25], [0.2, 0.5, 0.3], [0.8, 0.1, 0.1]])


def _cross(p, q, log=np.log2):
    return -np.sum(p * log(q), axis=1)


def _entropy_bits(p):
    return -np.sum(p * np.log2(np.where(p > 0, p, 1)), axis=1)


_BITS = Exercise(
    id="10.3",
    title="Bits per character",
    minutes=6,
    stub='''\
def soft_bits(targets, probabilities):
    """Return the cross-entropy H(target, model), in bits per character."""
    ...
''',
    solution=soft_bits,
    cases=(
        Case(_TARGETS[:1], _MODEL[:1], note="One character, two of three symbols possible."),
        Case(_TARGETS[1:2], _MODEL[1:2]),
        Case(_TARGETS, _MODEL, note="Three characters, the last target is hard."),
        Case(_TARGETS[1:], _TARGETS[:2] / 2 + 1 / 6),
        Case(_MODEL, _MODEL, note="A perfect model still pays the entropy of the targets."),
    ),
    properties=(
        Property(
            "With hard targets it is the mean surprise of the characters.",
            lambda f, q: np.isclose(f(np.eye(3), q), -np.mean(np.log2(np.diag(q)))),
            inputs=(Case(_MODEL), Case(np.full((3, 3), 1 / 3))),
        ),
    ),
    misconceptions=(
        (
            lambda p, q: np.mean(_cross(p, q, np.log)),
            "Your answer is in nats. A bit is a choice between two: which logarithm?",
        ),
        (
            lambda p, q: np.mean(-np.sum(q * np.log2(np.where(p > 0, p, 1e-300)), axis=1)),
            "Your roles are swapped. The surprise is the model's, minus the log of its probability."
            " The targets say how often each symbol comes.",
        ),
        (
            lambda p, q: np.mean(-p * np.log2(q)),
            "You average over the symbols as well, so it is too small by their number. The mean "
            "is over characters, the sum over symbols.",
        ),
        (
            lambda p, q: np.sum(_cross(p, q)),
            "Your answer is the sum over all characters: it grows with the text. The unit is bits "
            "per character.",
        ),
        (
            lambda p, q: np.mean(_cross(p, q) - _entropy_bits(p)),
            "Your answer is the KL divergence of the targets from the model. It differs from the "
            "cross-entropy by the entropy of the targets.",
        ),
        (
            lambda p, q: np.mean(_entropy_bits(p)),
            "Yours is the entropy of the targets: the model plays no part.",
        ),
        (
            lambda p, q: np.mean(_entropy_bits(q)),
            "Yours is the entropy of the model: the targets play no part.",
        ),
        (
            lambda p, q: np.mean(-np.log2(q[np.arange(len(p)), p.argmax(axis=1)])),
            "You turn each target into its likeliest symbol. A soft target counts all symbols, "
            "each with its probability.",
        ),
        (
            lambda p, q: -np.mean(_cross(p, q)),
            "Your answer has the opposite sign: a surprise is never negative.",
        ),
        (
            _cross,
            "You return one value for each character. The mean over the characters is missing.",
        ),
        (
            lambda p, q: np.mean(-np.log2(np.sum(p * q, axis=1))),
            "You take the logarithm of the mean probability. A cost is the mean of logarithms.",
        ),
        (
            lambda p, q: 2 ** np.mean(_cross(p, q)),
            "Yours is the perplexity, the power of 2. The bits are its exponent.",
        ),
        (
            lambda p, q: np.mean(-np.sum(p * np.log2(q), axis=0)),
            "Your axes are exchanged: you sum over the characters and average over the symbols.",
        ),
        (
            lambda p, q: np.mean(_cross(p, q)) / np.log(2),
            "You convert twice: a base of 2 gives bits already, and log(2) divides nats only.",
        ),
        (
            lambda p, q: np.mean(-np.log(np.sum(p * q, axis=1))),
            "Yours is the logarithm of a mean probability, and in nats. A cost is the mean of "
            "logarithms, and bits need a base of 2.",
        ),
    ),
)

EXERCISES = (_AVERAGE, _PSEUDO, _BITS)
