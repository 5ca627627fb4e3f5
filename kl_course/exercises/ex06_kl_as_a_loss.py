"""The exercises of notebook 06_kl_as_a_loss."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def _log_softmax(logits):
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def gradient_by_logits(target, logits, temperature):
    """Return the gradient of the cross-entropy H(target, softmax(logits / T)) by the logits."""
    prediction = np.exp(_log_softmax(logits / temperature))
    return (prediction - target) / temperature


def kl_loss(targets, logits):
    """Return the mean over the rows of KL(target || softmax(logits)), in nats."""
    safe = np.where(targets > 0, targets, 1)  # 0 log 0 counts as 0 log 1
    terms = targets * (np.log(safe) - _log_softmax(logits))
    return terms.sum(axis=1).mean()


def perplexity(probabilities):
    """Return the perplexity of a text from the probability that each of its symbols was given."""
    with np.errstate(divide="ignore"):  # an impossible symbol makes it infinite
        log_probabilities = np.log(probabilities)
    return np.exp(-np.mean(log_probabilities))


# 6.1 ---------------------------------------------------------------------------------------------


def _prediction(logits):
    return np.exp(_log_softmax(logits))


def _naive_softmax(logits):
    return np.exp(logits) / np.sum(np.exp(logits), axis=-1, keepdims=True)


_GRADIENT_INPUTS = (
    Case(np.array([0.5, 0.5, 0.0]), np.array([1.0, -2.0, 0.5]), 2.0),
    Case(np.array([0.1, 0.9]), np.array([4.0, -1.0]), 0.5),
)

_GRADIENT = Exercise(
    id="6.1",
    title="The gradient with a temperature",
    minutes=8,
    stub='''\
def gradient_by_logits(target, logits, temperature):
    """Return the gradient by the logits of H(target, softmax(logits / temperature))."""
    ...
''',
    solution=gradient_by_logits,
    cases=(
        Case(np.array([0.7, 0.2, 0.1]), np.array([0.0, 1.0, 3.0]), 1.0),
        Case(np.array([0.25, 0.75]), np.array([2.0, -1.0]), 4.0),
        Case(
            np.array([1.0, 0.0, 0.0]),
            np.array([-1.0, 0.5, 2.0]),
            0.5,
            note="A temperature below 1 sharpens the prediction.",
        ),
        Case(
            np.array([0.2, 0.5, 0.3]),
            np.log([0.2, 0.5, 0.3]),
            1.0,
            note="The prediction is the target: there is nothing to learn.",
        ),
        Case(
            np.array([0.6, 0.4]),
            np.array([1000.0, 0.0]),
            1.0,
            note="The exponential of 1000 is too large for a float.",
        ),
    ),
    properties=(
        Property(
            "The entries of the gradient add up to 0.",
            lambda f, target, logits, temperature: (
                abs(np.sum(f(target, logits, temperature))) < _SMALL
            ),
            inputs=_GRADIENT_INPUTS,
        ),
        Property(
            "The same number added to all logits changes nothing.",
            lambda f, target, logits, temperature: np.allclose(
                f(target, logits + 7.0, temperature),
                gradient_by_logits(target, logits, temperature),
                atol=_SMALL,
            ),
            inputs=_GRADIENT_INPUTS,
        ),
    ),
    misconceptions=(
        (
            lambda target, logits, temperature: -gradient_by_logits(target, logits, temperature),
            "Your answer has the opposite sign: it points downhill. The gradient points to a "
            "larger loss: which of prediction and target is subtracted?",
        ),
        (
            lambda target, logits, temperature: _prediction(logits / temperature) - target,
            "Your answer is right at temperature 1. A logit acts only through logit / T: what "
            "does the chain rule multiply with?",
        ),
        (
            lambda target, logits, temperature: target - _prediction(logits / temperature),
            "Your answer has the opposite sign, and a factor is missing at temperatures other "
            "than 1. Which of prediction and target is subtracted, and what is d(z / T) / dz?",
        ),
        (
            lambda target, logits, temperature: _prediction(logits) - target,
            "Your answer does not use the temperature. It divides the logits before the softmax, "
            "and it enters the derivative once more.",
        ),
        (
            lambda target, logits, temperature: (_prediction(logits) - target) / temperature,
            "You divide the gradient by the temperature, but your prediction is that of "
            "temperature 1. What goes into the softmax?",
        ),
        (
            lambda target, logits, temperature: (
                (_prediction(logits / temperature) - target) * temperature
            ),
            "You multiply by the temperature where the chain rule divides. The larger T is, the "
            "less one logit moves z / T.",
        ),
        (
            lambda target, logits, temperature: (
                (_prediction(logits * temperature) - target) * temperature
            ),
            "Your temperature multiplies the logits. A high temperature should flatten the "
            "prediction, so the logits are divided by it.",
        ),
        (
            lambda target, logits, temperature: (
                (_prediction(logits / temperature) - target) / temperature**2
            ),
            "You divide by the temperature twice. The logits meet it once: what is the "
            "derivative of z / T by z?",
        ),
        (
            lambda target, logits, temperature: -target / _prediction(logits / temperature),
            "Your answer is the derivative by the probabilities. The question asks for the "
            "logits; the softmax lies between them, and its derivative is a factor.",
        ),
        (
            lambda target, logits, temperature: (
                (_prediction(logits / temperature) - np.eye(len(target))[np.argmax(target)])
                / temperature
            ),
            "Your answer replaces the target by its most likely class. A soft target says more "
            "than its largest entry: subtract all of it.",
        ),
        (
            lambda target, logits, temperature: logits / temperature - target,
            "Your answer subtracts the target from the logits. Logits are no probabilities: what "
            "turns them into a prediction?",
        ),
        (
            lambda target, logits, temperature: (
                _prediction(logits / temperature) - target / temperature
            ),
            "Your answer divides only the target by the temperature: by precedence, / comes before "
            "the minus. Put the difference in brackets.",
        ),
        (
            lambda target, logits, temperature: (
                _prediction(logits / temperature) / temperature - target
            ),
            "Your answer divides only the prediction by the temperature. The factor 1 / T of the "
            "chain rule belongs to the whole difference.",
        ),
        (
            lambda target, logits, temperature: (
                (_naive_softmax(logits / temperature) - target) / temperature
            ),
            "Your formula is right, and it breaks down for large logits: their exponentials are "
            "infinite. The softmax does not change when all logits are shifted alike.",
        ),
    ),
)

# 6.2 ---------------------------------------------------------------------------------------------

_TARGETS = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]])
_LOGITS = np.array([[2.0, 0.0, -1.0], [0.5, 0.0, 3.0]])


def _xlogx(p):
    return p * np.log(np.where(p > 0, p, 1))


def _terms(targets, logits):
    return _xlogx(targets) - targets * _log_softmax(logits)


def _swapped_terms(targets, logits):
    log_q = _log_softmax(logits)
    return np.exp(log_q) * (log_q - np.log(targets))


def _clipped(targets, logits, floor=1e-7):
    p, q = (np.clip(values, floor, 1) for values in (targets, _prediction(logits)))
    return np.sum(p * np.log(p / q), axis=1).mean()


def _lifted(targets, logits, eps=1e-12):
    q = _prediction(logits)
    return np.sum(targets * (np.log(targets + eps) - np.log(q + eps)), axis=1).mean()


def _log_sum_exp(values):  # over all entries
    return np.max(values) + np.log(np.sum(np.exp(values - np.max(values))))


def _shifted_by_batch(targets, logits):
    shifted = logits - np.max(logits)
    log_q = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    return np.sum(_xlogx(targets) - targets * log_q, axis=1).mean()


_LOSS = Exercise(
    id="6.2",
    title="A KL loss from logits",
    minutes=8,
    stub='''\
def kl_loss(targets, logits):
    """Return the mean over the rows of KL(target || softmax(logits)), in nats."""
    ...
''',
    solution=kl_loss,
    cases=(
        Case(_TARGETS, _LOGITS, note="Two rows, three classes."),
        Case(np.array([[0.25, 0.75]]), np.array([[1.0, 2.0]])),
        Case(
            np.array([[0.5, 0.5], [0.2, 0.8], [0.9, 0.1]]),
            np.array([[0.0, 0.0], [1.0, -1.0], [-2.0, 1.0]]),
            note="Three rows, two classes.",
        ),
        Case(
            np.array([[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]]),
            np.array([[1.0, 2.0, 0.0], [0.0, 3.0, 1.0]]),
            note="Targets may be 0: such a class adds nothing.",
        ),
        Case(
            np.array([[0.5, 0.5], [0.3, 0.7]]),
            np.array([[1000.0, 0.0], [0.0, 2.0]]),
            note="The confident mistake costs about 500 nats in its row, about 250 in the mean.",
        ),
    ),
    properties=(
        Property(
            "The loss is 0 where the prediction is the target.",
            lambda f, targets: abs(f(targets, np.log(targets))) < _SMALL,
            inputs=(Case(_TARGETS), Case(np.array([[0.4, 0.6]]))),
        ),
        Property(
            "The same batch twice does not change the mean.",
            lambda f, targets, logits: np.isclose(
                f(np.vstack([targets, targets]), np.vstack([logits, logits])),
                kl_loss(targets, logits),
            ),
            inputs=(Case(_TARGETS, _LOGITS),),
        ),
    ),
    misconceptions=(
        (
            lambda targets, logits: _terms(targets, logits).mean(),
            "Your answer is divided by the number of classes as well: `mean` without an axis "
            "averages all entries. A divergence adds up over the classes; only rows are averaged.",
        ),
        (
            lambda targets, logits: _terms(targets, logits).sum(),
            "Your answer is the sum over the batch. It grows with the number of rows, and with it "
            "the step of the training: rows are averaged.",
        ),
        (
            lambda targets, logits: _terms(targets, logits).sum(axis=1),
            "Your answer holds one divergence for each row. A loss is one number: what is done "
            "with the rows of a batch?",
        ),
        (
            lambda targets, logits: _swapped_terms(targets, logits).sum(axis=1).mean(),
            "Your answer is the other direction, of the prediction from the target. Data come "
            "first: whose probabilities are the weights?",
        ),
        (
            lambda targets, logits: -np.sum(targets * _log_softmax(logits), axis=1).mean(),
            "Your answer is the cross-entropy. It trains the same weights, but it exceeds KL by "
            "the entropy of the targets, which is not 0 for soft ones.",
        ),
        (
            lambda targets, logits: kl_loss(targets, logits) / np.log(2),
            "Your answer is in bits. The task asks for nats, the unit of the natural logarithm: "
            "deep-learning libraries use no other.",
        ),
        (
            lambda targets, logits: -kl_loss(targets, logits),
            "Your answer has the opposite sign, so training would drive it the wrong way. Which "
            "logarithm is subtracted from which?",
        ),
        (
            lambda targets, logits: np.sum(
                targets * (np.log(targets) - _log_softmax(logits)), axis=1
            ).mean(),
            "Your answer is right while all targets are positive. Elsewhere, 0 times the "
            "logarithm of 0 gives nan: what does such a class add?",
        ),
        (
            lambda targets, logits: np.sum(
                _xlogx(targets) - targets * np.log(_naive_softmax(logits)), axis=1
            ).mean(),
            "Your answer breaks down for large logits: their exponentials are infinite. Take the "
            "logarithm of the softmax on paper, and subtract the largest logit first.",
        ),
        (
            lambda targets, logits: np.sum(
                targets * np.log(targets / _naive_softmax(logits)), axis=1
            ).mean(),
            "Your formula is right on paper, and gives nan for a target of 0 and for large "
            "logits. Which classes add nothing, and what is the logarithm of a softmax?",
        ),
        (
            lambda targets, logits: np.sum(
                _xlogx(targets) - targets * np.log(_prediction(logits)), axis=1
            ).mean(),
            "Your softmax survives large logits, but a prediction too small for a float becomes "
            "0, and its logarithm minus infinity. Do not form the probability at all.",
        ),
        (
            _clipped,
            "Your probabilities are clipped at 1e-7: below it the loss hardly depends on the "
            "logits, so a confident mistake has no gradient. Stay with logarithms.",
        ),
        (
            _lifted,
            "Your logarithms are lifted by a small number. Beside a smaller probability it sets "
            "the price of a confident mistake, and its gradient is lost. Stay with logarithms.",
        ),
        (
            lambda targets, logits: np.sum(
                targets * (np.log(targets) - np.log(_prediction(logits))), axis=1
            ).mean(),
            "Your softmax survives large logits, but you take the logarithm of 0 twice: of targets "
            "that are 0, and of predictions too small for a float. Mask the first, and do not "
            "form the second.",
        ),
        (
            lambda targets, logits: _shifted_by_batch(targets, logits),
            "You subtract the largest logit of the whole batch. In a row of smaller logits all "
            "exponentials then become 0: each row has its own largest logit.",
        ),
        (
            lambda targets, logits: np.sum(
                _xlogx(targets) - targets * (logits - _log_sum_exp(logits)), axis=1
            ).mean(),
            "Your softmax divides by the sum over the whole batch. Each row is a distribution of "
            "its own: sum along axis 1, with `keepdims=True`.",
        ),
        (
            lambda targets, logits: np.sum(_xlogx(targets) - targets * logits, axis=1).mean(),
            "Your answer takes the logits for log-probabilities. They lack the normalisation: "
            "what must be subtracted so that the exponentials sum to 1?",
        ),
    ),
)

# 6.3 ---------------------------------------------------------------------------------------------

_TEXTS = (
    Case(np.array([0.5, 0.25, 0.125, 0.125])),
    Case(np.array([0.9, 0.05, 0.6])),
)

_PERPLEXITY = Exercise(
    id="6.3",
    title="Perplexity",
    minutes=5,
    stub='''\
def perplexity(probabilities):
    """Return the perplexity of a text; each of its symbols was given one of the probabilities."""
    ...
''',
    solution=perplexity,
    cases=(
        Case(np.array([0.5, 0.125]), note="Two symbols, of one bit and of three."),
        Case(np.array([0.9, 0.2, 0.4])),
        Case(np.array([0.3])),
        Case(np.full(4, 0.1), note="As hard as a choice among ten."),
        Case(np.tile([0.01, 0.5], 400), note="A text of 800 symbols."),
        Case(
            np.array([0.5, 0.0]), note="The model called the second symbol impossible, and it came."
        ),
    ),
    properties=(
        Property(
            "It is never below 1.",
            lambda f, probabilities: f(probabilities) >= 1 - _SMALL,
            inputs=_TEXTS,
        ),
        Property(
            "The order of the symbols does not matter.",
            lambda f, probabilities: np.isclose(f(probabilities[::-1]), f(probabilities)),
            inputs=_TEXTS,
        ),
    ),
    misconceptions=(
        (
            lambda probabilities: 2 ** -np.mean(np.log(probabilities)),
            "Your answer raises 2 to a number of nats. The base of the power and that of the "
            "logarithm must agree: both e, or both 2.",
        ),
        (
            lambda probabilities: np.exp(-np.mean(np.log2(probabilities))),
            "Your answer raises e to a number of bits. The base of the power and that of the "
            "logarithm must agree: both e, or both 2.",
        ),
        (
            lambda probabilities: np.mean(1 / probabilities),
            "Your answer averages the perplexities of the single symbols. One rare symbol "
            "dominates it: average the surprises, then take the power.",
        ),
        (
            lambda probabilities: 1 / np.mean(probabilities),
            "Your answer inverts the mean probability. The probabilities of "
            "successive symbols, each given those before it, multiply: what is averaged so that "
            "their product counts?",
        ),
        (
            lambda probabilities: np.exp(-np.sum(np.log(probabilities))),
            "Your answer uses the sum of the surprises, and grows with the length of the text. "
            "Perplexity is a price per symbol.",
        ),
        (
            lambda probabilities: np.exp(np.mean(np.log(probabilities))),
            "Your answer is at most 1: it is the typical probability of a symbol. How many "
            "equally likely choices give a symbol this probability?",
        ),
        (
            lambda probabilities: -np.mean(np.log2(probabilities)),
            "Your answer is the mean surprise in bits. Perplexity is the number of equally likely "
            "symbols with this surprise.",
        ),
        (
            lambda probabilities: -np.mean(np.log(probabilities)),
            "Your answer is the mean surprise in nats. Perplexity is the number of equally likely "
            "symbols with this surprise.",
        ),
        (
            lambda probabilities: np.exp(-np.sum(probabilities * np.log(probabilities))),
            "You weight each surprise with its probability. Each symbol of the text has come "
            "once, so each counts alike: how often it comes is in the text already.",
        ),
        (
            lambda probabilities: np.prod(probabilities) ** (-1 / len(probabilities)),
            "Your formula is right, and fails for a long text: the product of so many "
            "probabilities is too small for a float and becomes 0. Logarithms add up instead.",
        ),
        (
            lambda probabilities: np.exp(-np.mean(np.log(np.maximum(probabilities, 1e-12)))),
            "Your answer is finite where the truth is infinite: a floor under the "
            "probabilities sets the price of an impossible symbol.",
        ),
    ),
)

EXERCISES = (_GRADIENT, _LOSS, _PERPLEXITY)
