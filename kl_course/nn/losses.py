"""KL divergences as losses: the target first, the model second, logits in, nats out.

Under mixed precision, too, they are computed in float32 (in float64 with `dtype="float64"`).
"""

import math

import keras
import numpy as np
from keras import ops

from kl_course import _validation as validation

# The smallest normal float32. Probabilities below it count as 0: backends may flush them to 0 in
# one operation and not in the next.
TINY = float(np.finfo(np.float32).tiny)

PROBABILITIES = (
    "a probability for each logit: keras.utils.to_categorical makes them of class labels"
)


def kl(p, log_p, log_q):
    """Return KL of p from q, summed over the last axis.

    Each term is p log(p/q) - p + q: never negative, while what is added sums to 0. Its derivative
    by log q is q - p, so that no gradient dies or overflows. `log_p` is not used where p is 0.
    """
    possible = p > TINY
    p = ops.where(possible, p, 0.0)
    logs = ops.where(possible, log_q - log_p, 0.0)  # log(q/p)
    near = possible & (ops.abs(logs) < 1)
    terms = ops.where(near, p * (ops.expm1(logs) - logs), ops.exp(log_q) - p - p * logs)
    return ops.sum(terms, axis=-1)


def log_probabilities(logits, temperature=1.0):
    """Return log softmax(logits / T); the largest logit is taken off before the quotient rounds."""
    largest = ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))
    return ops.log_softmax((logits - largest) / temperature, axis=-1)


def _kl_from_targets(targets, log_q):
    return kl(targets, ops.log(ops.where(targets > TINY, targets, 1.0)), log_q)


def _kl_from_constant(logits_p, logits_q, temperature=1.0):
    log_p = ops.stop_gradient(log_probabilities(logits_p, temperature))
    return kl(ops.exp(log_p), log_p, log_probabilities(logits_q, temperature))


def full_precision(*tensors):
    """Return the tensors in float32 or, if they are, in float64: half precision is raised."""
    halves = ("float16", "bfloat16")
    dtypes = [keras.backend.standardize_dtype(x.dtype) for x in tensors]
    return [
        ops.cast(x, "float32") if dtype in halves else x
        for x, dtype in zip(tensors, dtypes, strict=True)
    ]


def _check_shapes(y_true, y_pred, expected):
    targets, logits = tuple(y_true.shape), tuple(y_pred.shape)
    unknown = len(targets) == len(logits) and None in targets + logits
    pairs = zip(targets, logits, strict=False)
    if targets != logits and not (unknown and all(a == b or None in (a, b) for a, b in pairs)):
        raise ValueError(
            f"y_true has shape {targets} and y_pred {logits}; expected equal shapes, {expected}"
        )


@keras.saving.register_keras_serializable(package="kl_course")
class KLFromLogits(keras.losses.Loss):
    r"""KL divergence of the target distribution from the model's, which is given by its logits.

    .. math:: \mathrm{KL}(P \| Q) = \sum_i p_i \log \frac{p_i}{q_i}, \qquad
              q = \mathrm{softmax}(z / T)

    `y_true` holds the target P, `y_pred` the logits z, both of shape (..., K); the result has
    shape (...) before the reduction, in nats. The gradient by the logits is (q - p) / T:
    prediction minus target. It is that of the cross-entropy at the same T, from which the loss
    differs by the entropy of P alone.

    No probability is formed on the way to a logarithm and none is clipped: a saturated wrong
    answer keeps its gradient, and a target of 0 is exact.

    Parameters
    ----------
    temperature : float
        T > 0. The targets are taken as they are.
    reduction : str or None
        As for every Keras loss: "sum_over_batch_size", "sum", "mean", "mean_with_sample_weight"
        or None.
    name : str
        Name of the loss.
    dtype : str or keras.DTypePolicy, optional
        Type to which the inputs are converted; None for Keras' float type, float32. Half
        precision is raised to float32.

    Raises
    ------
    ValueError
        If `temperature` is not a positive finite number, or, when called, the shapes differ.
        Whether the targets are distributions is for `check_targets` to say, once, before `fit`.

    References
    ----------
    Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural Network",
    equations 1 and 2 (softmax with temperature and its gradient).

    Examples
    --------
    >>> loss = KLFromLogits()
    >>> targets, logits = np.array([[0.5, 0.5]]), np.array([[1000.0, 0.0]])
    >>> round(float(loss(targets, logits)), 3)  # 1000/2 - log 2
    499.307
    """

    def __init__(
        self,
        temperature=1.0,
        reduction="sum_over_batch_size",
        name="kl_from_logits",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = validation.positive_number("temperature", temperature)

    def call(self, y_true, y_pred):
        """Return KL of each target from each prediction."""
        _check_shapes(y_true, y_pred, PROBABILITIES)
        targets, logits = full_precision(y_true, y_pred)
        return _kl_from_targets(targets, log_probabilities(logits, self.temperature))

    def get_config(self):
        """Return the arguments that make an equal loss."""
        return {**super().get_config(), "dtype": self.dtype, "temperature": self.temperature}


@keras.saving.register_keras_serializable(package="kl_course")
class ConfidencePenalty(keras.losses.Loss):
    r"""KL of the target from the prediction, plus a price for confident predictions.

    .. math:: \mathrm{KL}(P \| Q) + w\, \mathrm{KL}(Q \| U), \qquad
              q = \mathrm{softmax}(z), \quad u_i = 1 / K

    `y_true` holds the target P, `y_pred` the logits z, both of shape (..., K); the result has
    shape (...) before the reduction, in nats. KL(Q ‖ U) = log K - H(Q): the penalty lowers the
    confidence, as the published form cross-entropy - w H(Q) does, from which this one differs by
    constants.

    Parameters
    ----------
    weight : float
        w >= 0.
    reduction, name, dtype
        As for `KLFromLogits`.

    Raises
    ------
    ValueError
        If `weight` is not a finite number from 0, or, when called, the shapes differ.

    References
    ----------
    Pereyra et al. (2017), "Regularizing Neural Networks by Penalizing Confident Output
    Distributions", section 3.

    Examples
    --------
    >>> loss = ConfidencePenalty(weight=1.0)
    >>> targets, logits = np.array([[1.0, 0.0]]), np.array([[0.0, 0.0]])
    >>> round(float(loss(targets, logits)), 6)  # log 2, and no confidence
    0.693147
    """

    def __init__(
        self,
        weight=0.1,
        reduction="sum_over_batch_size",
        name="confidence_penalty",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.weight = validation.number_from_zero("weight", weight)

    def call(self, y_true, y_pred):
        """Return the penalised KL of each target from each prediction."""
        _check_shapes(y_true, y_pred, PROBABILITIES)
        targets, logits = full_precision(y_true, y_pred)
        log_q = log_probabilities(logits)
        log_u = ops.full_like(log_q, -math.log(logits.shape[-1]))
        return _kl_from_targets(targets, log_q) + self.weight * kl(ops.exp(log_q), log_q, log_u)

    def get_config(self):
        """Return the arguments that make an equal loss."""
        return {**super().get_config(), "dtype": self.dtype, "weight": self.weight}


@keras.saving.register_keras_serializable(package="kl_course")
class ConsistencyLoss(keras.losses.Loss):
    r"""How far a perturbation of the input moves the prediction; no label is needed.

    .. math:: \mathrm{KL}(P \| Q) \quad \text{or} \quad \frac1K \sum_i (q_i - p_i)^2, \qquad
              p = \mathrm{softmax}(z), \quad q = \mathrm{softmax}(z')

    `y_true` holds the clean logits z, `y_pred` the perturbed logits z', both of shape (..., K);
    the result has shape (...) before the reduction, in nats for "kl". The clean prediction P is
    the target, and a constant, as in virtual adversarial training: no gradient flows to z, so
    that the perturbed prediction is pulled to the clean one and not the other way round.

    Parameters
    ----------
    kind : str
        "kl" for KL of the clean prediction from the perturbed one, "mse" for the mean squared
        error of the probabilities, which is at most 2 / K and lets go of saturated predictions.
    reduction, name, dtype
        As for `KLFromLogits`.

    Raises
    ------
    ValueError
        If `kind` is neither "kl" nor "mse", or, when called, the shapes differ.

    References
    ----------
    Miyato, Maeda, Koyama and Ishii (2019), "Virtual Adversarial Training", equations 5 and 6
    ("kl"); Laine and Aila (2017), "Temporal Ensembling for Semi-Supervised Learning",
    algorithm 1 ("mse", where gradient flows to both sides).

    Examples
    --------
    >>> clean, perturbed = np.array([[0.0, 0.0]]), np.array([[1000.0, 0.0]])
    >>> round(float(ConsistencyLoss()(clean, perturbed)), 3)  # 1000/2 - log 2
    499.307
    >>> float(ConsistencyLoss("mse")(clean, perturbed))  # the probabilities are off by 1/2
    0.25
    """

    def __init__(
        self,
        kind="kl",
        reduction="sum_over_batch_size",
        name="consistency",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if kind not in ("kl", "mse"):
            raise ValueError(f"kind is {kind!r}; expected 'kl' or 'mse'")
        self.kind = kind

    def call(self, y_true, y_pred):
        """Return the divergence of each clean prediction from the perturbed one."""
        _check_shapes(y_true, y_pred, "clean logits and perturbed logits of the same inputs")
        clean, perturbed = full_precision(y_true, y_pred)
        if self.kind == "kl":
            return _kl_from_constant(clean, perturbed)
        p = ops.stop_gradient(ops.exp(log_probabilities(clean)))
        squares = ops.square(ops.exp(log_probabilities(perturbed)) - p)
        # Not ops.mean, which on PyTorch rounds float64 to float32.
        return ops.sum(squares, axis=-1) / clean.shape[-1]

    def get_config(self):
        """Return the arguments that make an equal loss."""
        return {**super().get_config(), "dtype": self.dtype, "kind": self.kind}


@keras.saving.register_keras_serializable(package="kl_course")
class DistillationLoss(keras.losses.Loss):
    r"""KL of the teacher from the student at a temperature, beside the loss on the labels.

    .. math:: \alpha\, \mathrm{KL}(Y \| S_1) + (1 - \alpha)\, T^2\, \mathrm{KL}(P_T \| S_T),
              \qquad p_T = \mathrm{softmax}(z / T), \quad s_T = \mathrm{softmax}(v / T)

    `y_pred` holds the student's logits v, of shape (..., K). With alpha 0, `y_true` holds the
    teacher's logits z, of the same shape; else labels Y, as probabilities, and logits z stacked to
    shape (..., 2, K): `np.stack([labels, teacher_logits], axis=-2)`. The result has shape (...)
    before the reduction, in nats.

    The teacher comes first and is a constant. The factor T² keeps the gradient by the student's
    logits, T (s_T - p_T), at one size when T grows: it tends to the difference of the logits, each
    less its mean, over K.

    Parameters
    ----------
    temperature : float
        T > 0, for teacher and student alike; the labels are compared at temperature 1.
    alpha : float
        Weight of the labels, from 0 to 1.
    reduction, name, dtype
        As for `KLFromLogits`.

    Raises
    ------
    ValueError
        If `temperature` is not a positive finite number or `alpha` not from 0 to 1, or, when
        called, the shapes do not fit.

    References
    ----------
    Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural Network", sections 2
    and 2.1.

    Examples
    --------
    >>> teacher, student = np.array([[2.0, 0.0, -1.0]]), np.array([[0.0, 1.0, 0.0]])
    >>> round(float(DistillationLoss(temperature=3.0)(teacher, student)), 5)
    1.09864
    >>> labels = np.array([[1.0, 0.0, 0.0]])
    >>> loss = DistillationLoss(temperature=3.0, alpha=0.5)
    >>> round(float(loss(np.stack([labels, teacher], axis=-2), student)), 4)
    1.325
    """

    def __init__(
        self,
        temperature=4.0,
        alpha=0.0,
        reduction="sum_over_batch_size",
        name="distillation",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.temperature = validation.positive_number("temperature", temperature)
        self.alpha = validation.fraction("alpha", alpha)

    def call(self, y_true, y_pred):
        """Return the loss of each prediction."""
        teacher, student = full_precision(y_true, y_pred)
        if not self.alpha:
            _check_shapes(teacher, student, "the teacher's logits, alone as alpha is 0")
            return self._soft_loss(teacher, student)
        if len(teacher.shape) != len(student.shape) + 1 or teacher.shape[-2] != 2:
            raise ValueError(
                f"y_true has shape {tuple(teacher.shape)} and y_pred {tuple(student.shape)}; as "
                f"alpha is {self.alpha}, expected labels and the teacher's logits in y_true: "
                "np.stack([labels, teacher_logits], axis=-2)"
            )
        labels, teacher = teacher[..., 0, :], teacher[..., 1, :]
        _check_shapes(labels, student, PROBABILITIES)
        hard = _kl_from_targets(labels, log_probabilities(student))
        return self.alpha * hard + (1 - self.alpha) * self._soft_loss(teacher, student)

    def _soft_loss(self, teacher, student):
        return self.temperature**2 * _kl_from_constant(teacher, student, self.temperature)

    def get_config(self):
        """Return the arguments that make an equal loss."""
        own = {"temperature": self.temperature, "alpha": self.alpha}
        return {**super().get_config(), "dtype": self.dtype, **own}


def check_targets(y):
    """Refuse targets that are no distributions; call it once, before `fit`.

    Within the training step such a check would cost time at each step, and a loss computed from
    wrong targets looks like any other.

    Parameters
    ----------
    y : array_like
        The targets, of shape (n, ..., K); they sum to 1 along the last axis.

    Raises
    ------
    ValueError
        If `y` holds class labels, a negative number, NaN or infinity, or a row that does not sum
        to 1: the message names the row, its sum and the remedy.

    Examples
    --------
    >>> check_targets([[0.9, 0.1], [0.0, 1.0]])
    >>> check_targets([[0.9, 0.1], [1.0, 1.0]])
    Traceback (most recent call last):
    ValueError: y[1] sums to 2; expected 1: divide by its sum if these are counts
    """
    array = validation.real_array("y", y)
    if array.ndim < 2 or array.shape[-1] == 1:
        raise ValueError(
            f"y has shape {array.shape}; expected (n, K), a probability for each of K classes: "
            "keras.utils.to_categorical makes them of class labels"
        )
    total = array.sum(axis=-1, dtype=np.float64)
    if not (array.min() >= 0 and validation.sums_to_one(array, total)):
        validation.refuse_distribution("y", array, (-1,))
