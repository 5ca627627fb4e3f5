"""The exercises of notebook 09_distillation."""

import numpy as np

from kl_course.exercises import Case, Exercise, Property

_SMALL = 1e-9  # rounding allowed when a property is tested


def _log_softmax(logits):
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    return shifted - np.log(np.sum(np.exp(shifted), axis=-1, keepdims=True))


def _softmax(logits):
    return np.exp(_log_softmax(logits))


def soften(p, temperature):
    """Return the probability vector p at a temperature."""
    powers = p ** (1 / temperature)
    return powers / np.sum(powers)


def distillation_loss(teacher, student, temperature):
    """Return the mean over the rows of T^2 KL(teacher || student), both at temperature T."""
    log_p, log_s = _log_softmax(teacher / temperature), _log_softmax(student / temperature)
    return temperature**2 * np.mean(np.sum(np.exp(log_p) * (log_p - log_s), axis=1))


def distillation_gradient(teacher, student, temperature):
    """Return the gradient of T^2 KL(teacher || student) by the student's logits."""
    return temperature * (_softmax(student / temperature) - _softmax(teacher / temperature))


# 9.1 ---------------------------------------------------------------------------------------------

_SOFTEN_INPUTS = (
    Case(np.array([0.7, 0.2, 0.1]), 3.0),
    Case(np.array([0.05, 0.95]), 0.5),
)

_SOFTEN = Exercise(
    id="9.1",
    title="Soften a prediction",
    minutes=5,
    stub='''\
def soften(p, temperature):
    """Return the probability vector p at the given temperature."""
    ...
''',
    solution=soften,
    cases=(
        Case(np.array([0.8, 0.2]), 2.0, note="The square roots have the ratio 2 to 1."),
        Case(np.array([0.9, 0.09, 0.01]), 4.0),
        Case(np.array([0.6, 0.3, 0.1]), 0.5, note="A temperature below 1 sharpens."),
        Case(np.array([0.5, 0.3, 0.2]), 1.0, note="Temperature 1 changes nothing."),
        Case(
            np.array([0.75, 0.25, 0.0]),
            3.0,
            note="What is impossible stays impossible at any temperature.",
        ),
    ),
    properties=(
        Property(
            "The result sums to 1.",
            lambda f, p, temperature: abs(np.sum(f(p, temperature)) - 1) < _SMALL,
            inputs=_SOFTEN_INPUTS,
        ),
        Property(
            "Softening by T and then by 1/T gives back the prediction.",
            lambda f, p, temperature: np.allclose(
                f(f(p, temperature), 1 / temperature), p, atol=_SMALL
            ),
            inputs=_SOFTEN_INPUTS,
        ),
    ),
    misconceptions=(
        (
            lambda p, temperature: soften(p, 1 / temperature),
            "Your answer takes the power T, which sharpens where it should soften. The logits are "
            "divided by T: what does that make of the exponent?",
        ),
        (
            lambda p, temperature: p / temperature / np.sum(p / temperature),
            "Your answer is p itself: a common factor 1/T cancels when the sum is divided out. "
            "The temperature divides the logits, not the probabilities.",
        ),
        (
            lambda p, temperature: p / temperature,
            "Your answer divides the probabilities by T, so it sums to 1/T. The temperature "
            "divides the logits: what are the logits of p?",
        ),
        (
            lambda p, temperature: p ** (1 / temperature),
            "The powers are right, but they do not sum to 1. What stands below the fraction in "
            "(9.1)?",
        ),
        (
            lambda p, temperature: p**temperature,
            "Your answer takes the power T and does not sum to 1. The logits are divided by T, "
            "and (9.1) has a denominator.",
        ),
        (
            lambda p, temperature: _softmax(p / temperature),
            "You take the probabilities for logits. Which function of p gives p back under the "
            "softmax?",
        ),
        (
            lambda p, temperature: _softmax(p * temperature),
            "You take the probabilities for logits, and multiply by T. Which function of p gives "
            "p back under the softmax?",
        ),
        (
            lambda p, temperature: _softmax(np.log(p + 1e-3) / temperature),
            "Your answer adds a small number before the logarithm: an impossible class becomes "
            "possible, and a high temperature makes it count.",
        ),
        (
            lambda p, temperature: _softmax(np.log(np.maximum(p, 1e-7)) / temperature),
            "Your answer sets a floor of 1e-7 under p, and a high temperature makes it count. "
            "Which power of 0 is meant by $e^{\\log 0 / T}$?",
        ),
        (
            lambda p, temperature: _softmax(np.log(np.maximum(p, 1e-12)) / temperature),
            "Your answer sets a floor of 1e-12 under p, and a high temperature makes it count. "
            "Can you do without the logarithm?",
        ),
        (
            lambda p, temperature: p + (1 - 1 / temperature) * (1 / len(p) - p),
            "Your answer mixes p with the uniform distribution, as label smoothing does. That "
            "shrinks all differences by the same factor; a temperature takes the ratio of any two "
            "probabilities to the power 1/T.",
        ),
        (
            lambda p, temperature: p ** (1 / temperature) / np.max(p ** (1 / temperature)),
            "Your answer divides by the largest power, so the first choice gets 1. Divide by the "
            "sum.",
        ),
    ),
)

# 9.2 ---------------------------------------------------------------------------------------------


def _kl_rows(log_p, log_q):
    return np.sum(np.exp(log_p) * (log_p - log_q), axis=1)


def _loss(teacher, student, factor):
    """Return the mean KL of distributions given by their logits, times a factor."""
    return factor * np.mean(_kl_rows(_log_softmax(teacher), _log_softmax(student)))


def _cross_entropy(teacher, student, temperature):
    log_s = _log_softmax(student / temperature)
    return -(temperature**2) * np.mean(np.sum(_softmax(teacher / temperature) * log_s, axis=1))


def _overflowing_softmax(logits):
    return np.exp(logits) / np.sum(np.exp(logits), axis=-1, keepdims=True)


def _overflowing_loss(teacher, student, temperature):
    p, s = _overflowing_softmax(teacher / temperature), _overflowing_softmax(student / temperature)
    return temperature**2 * np.mean(np.sum(p * np.log(p / s), axis=1))


def _table_log_softmax(logits):
    return _log_softmax(logits.ravel()).reshape(logits.shape)


def _floored_loss(teacher, student, temperature):
    p, s = (np.maximum(_softmax(z / temperature), 1e-12) for z in (teacher, student))
    return temperature**2 * np.mean(_kl_rows(np.log(p), np.log(s)))


def _without_softmax(teacher, student, temperature):
    """Return what a KL that clips its inputs makes of raw logits."""
    p, s = (np.clip(z / temperature, 1e-7, 1) for z in (teacher, student))
    return np.mean(np.sum(p * np.log(p / s), axis=1))


_TEACHER = np.array([[2.0, 0.0, -1.0], [0.5, 0.0, 3.0]])
_STUDENT = np.array([[0.0, 1.0, 0.0], [1.0, -1.0, 0.5]])

_LOSS = Exercise(
    id="9.2",
    title="The distillation loss",
    minutes=8,
    stub='''\
def distillation_loss(teacher, student, temperature):
    """Return the mean over the rows of T^2 KL(teacher || student), both at temperature T."""
    ...
''',
    solution=distillation_loss,
    cases=(
        Case(_TEACHER[:1], _STUDENT[:1], 3.0, note="The image of the lesson: 1.09864."),
        Case(_TEACHER, _STUDENT, 1.0, note="Two images at temperature 1."),
        Case(_TEACHER, _STUDENT, 4.0),
        Case(_TEACHER, _STUDENT, 0.5),
        Case(
            _TEACHER,
            _TEACHER + np.array([[5.0], [-2.0]]),
            2.0,
            note="The student agrees: its logits differ by a number that is the same for all "
            "classes.",
        ),
        Case(
            np.array([[1000.0, 0.0]]),
            np.array([[0.0, 10.0]]),
            2.0,
            note="The exponential of 500 is a float, that of 1000 is not.",
        ),
        Case(
            np.array([[2000.0, 0.0]]),
            np.array([[0.0, 2000.0]]),
            1.0,
            note="Both are sure, of different classes.",
        ),
    ),
    properties=(
        Property(
            "The loss is never negative.",
            lambda f, teacher, student, temperature: f(teacher, student, temperature) >= -_SMALL,
            inputs=(Case(_TEACHER, _STUDENT, 2.0), Case(_STUDENT, _TEACHER, 5.0)),
        ),
        Property(
            "The loss does not change when the classes of both are permuted alike.",
            lambda f, teacher, student, temperature: np.isclose(
                f(teacher[:, ::-1], student[:, ::-1], temperature),
                f(teacher, student, temperature),
                rtol=1e-9,
            ),
            inputs=(Case(_TEACHER, _STUDENT, 2.0),),
        ),
    ),
    misconceptions=(
        (
            lambda teacher, student, t: _loss(teacher / t, student / t, 1),
            "The factor T² is missing. Without it the gradient shrinks as 1/T² when the "
            "temperature rises.",
        ),
        (
            lambda teacher, student, t: _loss(teacher / t, student / t, t),
            "Your factor is T. The gradient shrinks as 1/T²: one T for the chain rule, one "
            "because the two distributions become alike.",
        ),
        (
            lambda teacher, student, t: _loss(teacher / t, student / t, 1 / t**2),
            "You divide by T² where the loss multiplies. The gradient is small at a high "
            "temperature and has to be raised.",
        ),
        (
            lambda teacher, student, t: _loss(student / t, teacher / t, t**2),
            "You have swapped the roles: this is KL(student‖teacher). The teacher's predictions "
            "are what happens, so they are the weights.",
        ),
        (
            lambda teacher, student, t: _loss(student / t, teacher / t, 1),
            "You have swapped the roles, and T² is missing. The teacher's predictions are what "
            "happens, so they are the weights.",
        ),
        (
            lambda teacher, student, t: _loss(teacher, student / t, t**2),
            "Your teacher is at temperature 1, the student at T. Both logits are divided.",
        ),
        (
            lambda teacher, student, t: _loss(teacher / t, student, t**2),
            "Your student is at temperature 1, the teacher at T. Both logits are divided.",
        ),
        (
            lambda teacher, student, t: _loss(teacher, student, 1),
            "Your answer is the KL at temperature 1. The logits of both are divided by T first, "
            "and the KL is multiplied by T².",
        ),
        (
            lambda teacher, student, t: _loss(teacher, student, t**2),
            "Your logits are never divided by the temperature; only the factor T² is there.",
        ),
        (
            lambda teacher, student, t: _loss(teacher * t, student * t, t**2),
            "You multiply the logits by T. That sharpens the predictions; a temperature softens.",
        ),
        (
            lambda teacher, student, t: distillation_loss(teacher, student, t) / teacher.shape[1],
            "You take the mean over the classes as well, so the loss is too small by their "
            "number. A KL is a sum over classes; the mean is over images.",
        ),
        (
            lambda teacher, student, t: distillation_loss(teacher, student, t) * len(teacher),
            "You add up the images. The loss is their mean, so that it does not grow with the "
            "size of a batch.",
        ),
        (
            _cross_entropy,
            "Your answer is the cross-entropy. It has the right gradient, but is not 0 for a "
            "student that agrees: the teacher's entropy is still in it.",
        ),
        (
            lambda teacher, student, t: distillation_loss(teacher, student, t) / np.log(2),
            "Your answer is in bits. The task asks for nats, the natural logarithm.",
        ),
        (
            _without_softmax,
            "Your logits never meet a softmax: divided by T and clipped, they are taken for "
            "probabilities. Which function makes probabilities of logits?",
        ),
        (
            lambda teacher, student, t: distillation_loss(teacher.T, student.T, t),
            "Your softmax runs over the images. Each row is one image: its classes compete, so "
            "the sum goes along the row.",
        ),
        (
            lambda teacher, student, t: (
                t**2 * np.mean(np.sum((_softmax(teacher / t) - _softmax(student / t)) ** 2, axis=1))
            ),
            "Your answer is a squared distance of the probabilities. (9.2) has the KL, not a "
            "squared distance.",
        ),
        (
            lambda teacher, student, t: (
                t**2 * np.mean(_kl_rows(_log_softmax(teacher) / t, _log_softmax(student) / t))
            ),
            "You divide the log probabilities by T, and their exponentials no longer sum to 1. "
            "Divide the logits first, then take log softmax.",
        ),
        (
            lambda teacher, student, t: (
                t**2
                * np.mean(
                    _kl_rows(_table_log_softmax(teacher / t), _table_log_softmax(student / t))
                )
            ),
            "Your softmax runs over the whole table. Each row is one image: subtract and sum "
            "along the row, with keepdims.",
        ),
        (
            _floored_loss,
            "Your floor under the probabilities hides a large loss. Form log softmax directly, "
            "without the logarithm of a probability.",
        ),
        (
            _overflowing_loss,
            "Somewhere you take the exponential of a large logit, or the logarithm of 0. Subtract "
            "the largest logit of the row first, and form log softmax without the softmax.",
        ),
    ),
)

# 9.3 ---------------------------------------------------------------------------------------------

_GRADIENT_INPUTS = (
    Case(np.array([1.0, -2.0, 0.5]), np.array([0.0, 1.0, 2.0]), 2.0),
    Case(np.array([4.0, -1.0]), np.array([0.0, 3.0]), 0.5),
)


def _centred(logits):
    return logits - np.mean(logits)


_GRADIENT = Exercise(
    id="9.3",
    title="The gradient of the distillation loss",
    minutes=6,
    stub='''\
def distillation_gradient(teacher, student, temperature):
    """Return the gradient of T^2 KL(teacher || student) by the student's logits."""
    ...
''',
    solution=distillation_gradient,
    cases=(
        Case(np.array([2.0, 0.0, -1.0]), np.array([0.0, 1.0, 0.0]), 3.0),
        Case(np.array([2.0, 0.0, -1.0]), np.array([0.0, 1.0, 0.0]), 1.0),
        Case(np.array([0.5, -0.5]), np.array([1.0, 2.0]), 0.5),
        Case(
            np.array([1.0, 3.0, 2.0]),
            np.array([0.0, 2.0, 1.0]),
            4.0,
            note="The logits differ, the predictions do not: there is nothing to learn.",
        ),
        Case(
            np.array([1000.0, 0.0]),
            np.array([0.0, 1000.0]),
            1.0,
            note="The exponential of 1000 is too large for a float.",
        ),
    ),
    properties=(
        Property(
            "The entries of the gradient add up to 0.",
            lambda f, teacher, student, temperature: (
                abs(np.sum(f(teacher, student, temperature))) < _SMALL
            ),
            inputs=_GRADIENT_INPUTS,
        ),
        Property(
            "A step against the gradient lowers the loss.",
            lambda f, teacher, student, temperature: (
                distillation_loss(
                    teacher[None],
                    (student - 0.01 * f(teacher, student, temperature))[None],
                    temperature,
                )
                < distillation_loss(teacher[None], student[None], temperature)
            ),
            inputs=_GRADIENT_INPUTS,
        ),
    ),
    misconceptions=(
        (
            lambda teacher, student, t: -distillation_gradient(teacher, student, t),
            "Your answer has the opposite sign: it points downhill. Which of student and teacher "
            "is subtracted?",
        ),
        (
            lambda teacher, student, t: distillation_gradient(teacher, student, t) / t,
            "Your answer lacks a factor T. The chain rule takes one T away from T²: what is left?",
        ),
        (
            lambda teacher, student, t: distillation_gradient(teacher, student, t) / t**2,
            "Your answer is the gradient of the KL alone. (9.2) multiplies it by T².",
        ),
        (
            lambda teacher, student, t: distillation_gradient(teacher, student, t) * t,
            "Your factor is T². A logit acts only through v / T: which factor does the chain rule "
            "add?",
        ),
        (
            lambda teacher, student, t: -distillation_gradient(teacher, student, t) / t,
            "Your answer has the opposite sign, and a factor T is missing. Which of student and "
            "teacher is subtracted, and what is left of T² after the chain rule?",
        ),
        (
            lambda teacher, student, t: _softmax(student) - _softmax(teacher),
            "Your answer does not use the temperature. It divides the logits of both, and a "
            "factor of it is left in front.",
        ),
        (
            lambda teacher, student, t: t * (_softmax(student) - _softmax(teacher)),
            "The factor T is right, but your predictions are those of temperature 1. What goes "
            "into the softmax?",
        ),
        (
            lambda teacher, student, t: t * (_softmax(student / t) - _softmax(teacher)),
            "Your teacher is at temperature 1. Its logits are divided by T as well.",
        ),
        (
            lambda teacher, student, t: t * (_softmax(student) - _softmax(teacher / t)),
            "Your student is at temperature 1. Its logits are divided by T as well.",
        ),
        (
            lambda teacher, student, t: t * (_softmax(student / t) - teacher / t),
            "You subtract the teacher's logits from the student's probabilities. The teacher's "
            "logits need the softmax, too.",
        ),
        (
            lambda teacher, student, t: (_centred(student) - _centred(teacher)) / len(student),
            "Your answer is the limit (9.4), of an infinite temperature. What is the gradient "
            "before the limit?",
        ),
        (
            lambda teacher, student, t: student - teacher,
            "Your answer is the difference of the logits. Only at a high temperature does the "
            "gradient resemble it, centred and divided by K.",
        ),
        (
            lambda teacher, student, t: (
                t * (_overflowing_softmax(student / t) - _overflowing_softmax(teacher / t))
            ),
            "You take the exponential of a large logit, and infinity over infinity is nan. What "
            "may be subtracted from all logits of an image without changing the softmax?",
        ),
    ),
)

EXERCISES = (_SOFTEN, _LOSS, _GRADIENT)
