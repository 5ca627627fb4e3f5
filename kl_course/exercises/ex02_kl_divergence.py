"""The exercises of notebook 02_kl_divergence."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def kl_bits(p, q):
    """Return KL(P || Q), in bits, of the probability vectors p and q."""
    occurs = p > 0  # symbols that never occur under P cost nothing
    with np.errstate(divide="ignore"):  # q = 0 is an infinite cost here
        log_ratio = np.log2(p[occurs] / q[occurs])
    return np.sum(p[occurs] * log_ratio)


def most_likely(counts, models):
    """Return the number of the model, a row of models, that makes the counts most likely."""
    p_hat = counts / counts.sum()
    return np.argmin([kl_bits(p_hat, q) for q in models])


# 2.1 ---------------------------------------------------------------------------------------------

_PAIRS = (
    (np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6])),
    (np.array([0.25, 0.25, 0.5]), np.array([0.3, 0.5, 0.2])),
    (np.array([0.0, 0.4, 0.6]), np.array([0.2, 0.5, 0.3])),
)


def _entropy_bits(p):
    p = p[p > 0]
    return -np.sum(p * np.log2(p))


def _term(p, q):
    return p * np.log2(p / q)


_KL = Exercise(
    id="2.1",
    title="KL divergence of two probability vectors",
    minutes=6,
    stub='''\
def kl_bits(p, q):
    """Return KL(P || Q), in bits, of the probability vectors p and q (NumPy arrays)."""
    ...
''',
    solution=kl_bits,
    cases=(
        Case(np.array([0.5, 0.5]), np.array([0.25, 0.75])),
        Case(np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.2, 0.2, 0.3, 0.3])),
        Case(np.array([0.6, 0.3, 0.1]), np.array([0.1, 0.3, 0.6])),
        Case(
            np.array([0.9, 0.05, 0.05]),
            np.array([0.9, 0.05, 0.05]),
            note="Nobody pays for the right belief.",
        ),
        Case(
            np.array([0.5, 0.5, 0.0]),
            np.array([0.25, 0.25, 0.5]),
            note="A symbol that never occurs under P adds nothing.",
        ),
        Case(
            np.array([0.75, 0.25, 0.0]),
            np.array([0.25, 0.75, 0.0]),
            note="Nor does one that both call impossible.",
        ),
        Case(
            np.array([0.5, 0.5]),
            np.array([1.0, 0.0]),
            note="The second symbol occurs, and Q calls it impossible.",
        ),
    ),
    properties=(
        Property(
            "KL is never negative.",
            lambda f, p, q: f(p, q) >= -_SMALL,
            inputs=tuple(Case(*pair) for pair in _PAIRS),
        ),
        Property(
            "KL does not change when the symbols of both are permuted alike.",
            lambda f, p, q: np.isclose(f(p[::-1], q[::-1]), f(p, q), rtol=1e-9),
            inputs=tuple(Case(*pair) for pair in _PAIRS),
        ),
        Property(
            "For independent pairs of symbols the costs add up.",
            lambda f, p, q: np.isclose(
                f(np.outer(p, p).ravel(), np.outer(q, q).ravel()), 2 * f(p, q), rtol=1e-9
            ),
            inputs=tuple(Case(*pair) for pair in _PAIRS),
        ),
    ),
    misconceptions=(
        (
            lambda p, q: np.log(2) * kl_bits(p, q),
            "Your answer is in nats: `np.log` is the natural logarithm. The name of the function "
            "promises bits.",
        ),
        (
            lambda p, q: kl_bits(q, p),
            "Your answer is KL(Q‖P), the other direction. P is what happens: whose probabilities "
            "are the weights, and who stands in the denominator?",
        ),
        (
            lambda p, q: -kl_bits(p, q),
            "Your answer has the right size and the opposite sign. A wrong belief costs bits; "
            "which of p and q belongs on top of the fraction?",
        ),
        (
            lambda p, q: np.sum(q * np.log2(p / q)),
            "Your weights are those of q. The letters that arrive come from P, whatever Q "
            "believes: how often is each log ratio met?",
        ),
        (
            lambda p, q: np.sum(np.log2(p / q)),
            "Your answer adds the log ratios of all symbols with equal weight, so it can be "
            "negative. KL is an average: how often is each ratio met?",
        ),
        (
            lambda p, q: np.mean(np.log2(p / q)),
            "Your answer is the plain mean of the log ratios. Symbols are not equally likely: a "
            "frequent one should count more than a rare one.",
        ),
        (
            lambda p, q: np.sum(p * np.log2(p) - np.log2(q)),
            "The second logarithm has lost its weight: p multiplies only the first one. Both "
            "surprises are averaged under P. Look at your brackets.",
        ),
        (
            _term,
            "Your answer is a list of terms, one for each symbol. The divergence is one number: "
            "what is to be done with the terms?",
        ),
        (
            lambda p, q: np.sum(_term(p, q)),
            "Your answer is right while no probability of P is 0. There, 0 times the logarithm "
            "of 0 gives nan. Which symbols add nothing to the sum?",
        ),
        (
            lambda p, q: np.mean(_term(p, q)[p > 0]),
            "Your answer divides by the number of symbols, as `np.mean` does. The weights p "
            "average already: they sum to 1.",
        ),
        (
            lambda p, q: np.sum(np.abs(_term(p, q)[p > 0])),
            "Your answer adds absolute values. Single terms may be negative: they are letters "
            "that Q makes cheaper, and they reduce the cost.",
        ),
        (
            lambda p, q: abs(_entropy_bits(p) - _entropy_bits(q)),
            "Your answer is the difference of two entropies. Two different distributions can "
            "have the same entropy; the surprise of Q has to be averaged under P.",
        ),
        (
            lambda p, q: _entropy_bits(q) - _entropy_bits(p),
            "Your answer is H(Q) minus H(P): it averages each surprise under its own distribution. "
            "But only the symbols of P arrive. How often is the surprise of Q met?",
        ),
        (
            lambda p, q: _entropy_bits(p) - _entropy_bits(q),
            "Your answer is H(P) minus H(Q), which may have either sign. A wrong belief never "
            "saves bits: which surprise is larger on average, and whose letters are averaged?",
        ),
        (
            lambda p, q: kl_bits(p, q) + _entropy_bits(p),
            "Your answer is the cross-entropy, the whole cost of a symbol. KL is the extra cost: "
            "what would someone have paid who knows P?",
        ),
        (
            lambda p, q: np.nansum(np.where(q > 0, _term(p, q), 0)),
            "Your answer leaves out the symbols that Q calls impossible, although they occur. "
            "Only symbols with p = 0 are free. What does the surprise of an event tend to as its "
            "probability tends to 0?",
        ),
        (
            lambda p, q: np.nansum(_term(p, np.maximum(q, 1e-7))),
            "Your answer is finite where the truth is infinite: a floor of 1e-7 under q has "
            "set the price, not the data. Let q be 0.",
        ),
        (
            lambda p, q: np.nansum(_term(p, np.maximum(q, 1e-12))),
            "Your answer is finite where the truth is infinite: it depends on the small number "
            "1e-12 that stands in for 0. What does the formula give without it?",
        ),
    ),
)

# 2.2 ---------------------------------------------------------------------------------------------


_COINS = np.array([[0.5, 0.5], [0.7, 0.3], [0.9, 0.1]])


def _nearest(distance):
    """Return the function that chooses the model with the smallest distance from the counts."""
    return lambda counts, models: np.argmin([distance(counts / counts.sum(), q) for q in models])


def _logs(models):
    with np.errstate(divide="ignore"):
        return np.log(models)


_MOST_LIKELY = Exercise(
    id="2.2",
    title="The most likely model",
    minutes=8,
    stub='''\
def most_likely(counts, models):
    """Return the number of the row of models that makes the counts most likely."""
    ...
''',
    solution=most_likely,
    cases=(
        Case(np.array([7, 3]), _COINS, note="Seven heads, three tails, and three coins."),
        Case(np.array([2, 8]), _COINS),
        Case(
            np.array([19, 2, 0]),
            np.array([[0.15, 0.85, 0.0], [0.25, 0.6, 0.15], [0.25, 0.5, 0.25]]),
            note="The third symbol was not seen; that speaks for no model and against none.",
        ),
        Case(
            np.array([2, 38, 1]),
            np.array([[0.0, 0.95, 0.05], [0.8, 0.1, 0.1], [0.4, 0.15, 0.45]]),
            note="The first symbol was seen, and the first model calls it impossible.",
        ),
        Case(
            np.array([55, 0, 3]),
            np.array([[0.0, 0.25, 0.75], [0.6, 0.25, 0.15], [0.6, 0.05, 0.35]]),
        ),
        Case(
            np.array([5, 15, 11]),
            np.array([[0.55, 0.35, 0.1], [1.0, 0.0, 0.0], [0.45, 0.2, 0.35]]),
        ),
        Case(np.array([7000, 3000]), _COINS, note="A long row: 10,000 flips."),
    ),
    properties=(
        Property(
            "Ten times the counts do not change the choice.",
            lambda f, counts, models: f(10 * counts, models) == f(counts, models),
            inputs=(Case(np.array([6, 3]), _COINS), Case(np.array([3, 3]), _COINS)),
        ),
        Property(
            "A model that equals the observed frequencies is chosen.",
            lambda f, counts, models: (
                f(counts, np.vstack([models, counts / counts.sum()])) == len(models)
            ),
            inputs=(Case(np.array([6, 2]), _COINS), Case(np.array([0, 5]), _COINS)),
        ),
    ),
    misconceptions=(
        (
            lambda counts, models: most_likely(counts, models) + 1,
            "Your answer counts the models from 1. NumPy and Python number rows from 0, and so "
            "does this exercise.",
        ),
        (
            lambda counts, models: np.min([kl_bits(counts / counts.sum(), q) for q in models]),
            "Your answer is the smallest divergence. The question is which model has it: its "
            "place, not its value.",
        ),
        (
            lambda counts, models: (
                np.log(2) * np.min([kl_bits(counts / counts.sum(), q) for q in models])
            ),
            "Your answer is the smallest divergence, in nats. Its unit does not matter here, nor "
            "does its value: in which row is it reached?",
        ),
        (
            lambda counts, models: np.argmax(np.prod(models**counts, axis=1)),
            "Your answer multiplies the probabilities themselves. For a long row the products are "
            "too small for a floating-point number and become 0 for every model. What turns a "
            "product into a sum?",
        ),
        (
            lambda counts, models: np.argmax([kl_bits(counts / counts.sum(), q) for q in models]),
            "Your answer is the model farthest from the data. The likelihood is largest where "
            "the divergence is smallest.",
        ),
        (
            _nearest(lambda p_hat, q: kl_bits(q, p_hat)),
            "Your answer takes KL the other way round, of the model from the data. That is "
            "infinite as soon as a symbol has not been seen that the model allows. Data first, "
            "model second.",
        ),
        (
            lambda counts, models: np.argmax(_logs(models[:, counts > 0]).sum(axis=1)),
            "Your answer counts each symbol that was seen once. How often does each factor occur "
            "in the likelihood?",
        ),
        (
            lambda counts, models: np.argmax(_logs(models).sum(axis=1)),
            "Your answer does not depend on how often the symbols were seen: it adds the "
            "logarithms of all of them. What do the counts do?",
        ),
        (
            lambda counts, models: np.argmax(models @ counts),
            "Your answer adds probabilities. Independent observations multiply theirs: what does "
            "that make of a sum of logarithms?",
        ),
        (
            _nearest(lambda p_hat, q: np.sum((p_hat - q) ** 2)),
            "Your answer has the smallest squared distance from the observed frequencies. A "
            "square hardly notices a model that calls a rare event impossible; the likelihood "
            "rules it out.",
        ),
        (
            lambda counts, models: np.argmin(((counts - models) ** 2).sum(axis=1)),
            "Your answer compares counts with probabilities, which live on different scales. "
            "Even with frequencies, squared distance is not likelihood.",
        ),
        (
            _nearest(lambda p_hat, q: np.sum(np.abs(p_hat - q))),
            "Your answer has the smallest total variation from the observed frequencies. The "
            "likelihood multiplies probabilities, so small ones matter more than differences "
            "show.",
        ),
        (
            lambda counts, models: np.argmax(models[:, np.argmax(counts)]),
            "Your answer looks at the commonest symbol only. The others were seen as well, and "
            "their probabilities are factors of the likelihood too.",
        ),
        (
            lambda counts, models: np.argmax(_logs(np.maximum(models, 1e-7)) @ counts),
            "Your answer lets a model survive that calls an observed symbol impossible: a floor "
            "under its zeros forgives it. Its likelihood is 0.",
        ),
        (
            lambda counts, models: np.argmax(_logs(np.where(models > 0, models, 1)) @ counts),
            "Your answer leaves out what a model calls impossible, even if it was seen. That "
            "rewards the model for its worst mistake.",
        ),
        (
            lambda counts, models: np.argmax((counts * _logs(models)).sum(axis=1)),
            "Somewhere you multiply a count of 0 by the logarithm of 0, which gives nan, and "
            "NumPy's argmax takes nan for the largest. Which symbols can be left out?",
        ),
        (
            lambda counts, models: np.argmin(
                (counts / counts.sum() * np.log(counts / counts.sum() / models)).sum(axis=1)
            ),
            "Somewhere you take 0 times the logarithm of 0, which gives nan, and NumPy's argmin "
            "takes nan for the smallest. Which symbols can be left out?",
        ),
    ),
)

EXERCISES = (_KL, _MOST_LIKELY)
