"""Distillation of a teacher model into a student, on any Keras backend."""

import keras
import numpy as np
from keras import ops

from kl_course import _validation as validation
from kl_course.nn._models import refuse_unknown_shapes, revive
from kl_course.nn.losses import DistillationLoss, KLFromLogits, check_targets


@keras.saving.register_keras_serializable(package="kl_course")
class Distiller(keras.Model):
    r"""Train a student to give the distribution of a teacher, and the labels where there are any.

    .. math:: \mathrm{loss} = \alpha\, \mathrm{KL}(Y \| S_1)
              + (1 - \alpha)\, T^2\, \mathrm{KL}(P_T \| S_T)

    P_T is the teacher's distribution at temperature T, S_T the student's, Y the label; see
    `DistillationLoss`. Both models take the same x and give logits. Train with `fit(x)` if alpha
    is 0, else with `fit(x, y)`, after `compile(optimizer)` without a loss; metrics given to
    `compile` compare y with the student's logits. Penalties of the student's layers are added to
    the loss. `predict` gives the student's logits, and `student` is the model to keep.

    `fit` and `evaluate` report `loss`, `kl`, which is KL(P_T ‖ S_T), and, unless alpha is 0,
    `hard`, which is KL(Y ‖ S_1), in nats and averaged over the examples:
    loss = alpha hard + (1 - alpha) T² kl.

    The teacher is frozen: from here on its `trainable` is False, and it is called as in inference.
    If x is an array, or a structure of arrays, `fit` asks the teacher once, for its logits on all
    of x, and not again in each epoch. Datasets and generators may do so themselves, and give
    `{"teacher_logits": ..., "labels": ...}` as y; else the teacher is asked batch by batch.

    Parameters
    ----------
    student, teacher : keras.Model
        Models that start with `keras.Input`, share no weights and give logits of shape (..., K).
        An ensemble is one model, too: `keras.layers.Average` takes the mean of its members'
        logits.
    temperature : float
        T > 0.
    alpha : float
        Weight of the labels, from 0 to 1.
    **kwargs
        Passed on to `keras.Model`, such as `name`.

    Raises
    ------
    ValueError
        If `temperature` or `alpha` is out of range, the outputs of the models differ in shape, or
        a model gives probabilities instead of logits. When fitted: if there is a compiled loss, or
        if alpha is not 0 and there are no labels, or those in an array are no distributions over
        the classes; labels from generators and datasets are not looked at, to keep steps fast.

    References
    ----------
    Hinton, Vinyals and Dean (2015), "Distilling the Knowledge in a Neural Network".

    Examples
    --------
    >>> import keras, numpy as np
    >>> teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> student = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    >>> distiller = Distiller(student, teacher, temperature=2.0)
    >>> distiller.compile(keras.optimizers.SGD(1.0))
    >>> history = distiller.fit(np.eye(4), epochs=50, verbose=0).history
    >>> bool(history["kl"][-1] < 0.1 * history["kl"][0])
    True
    >>> bool(np.isclose(history["loss"][-1], 2.0**2 * history["kl"][-1]))
    True
    """

    def __init__(self, student, teacher, *, temperature=4.0, alpha=0.0, **kwargs):
        super().__init__(**kwargs)
        self._alpha = validation.fraction("alpha", alpha)
        self._soft_loss = DistillationLoss(temperature)
        self._hard_loss = KLFromLogits()
        _check_models(student, teacher)
        self.student = student
        self.teacher = teacher
        teacher.trainable = False
        names = ["hard", "kl"] if self.alpha else ["kl"]
        self._trackers = [keras.metrics.Mean(name=name) for name in names]
        self.build(student.input_shape)

    @property
    def temperature(self):
        """T, for teacher and student alike."""
        return self._soft_loss.temperature

    @property
    def alpha(self):
        """The weight of the labels."""
        return self._alpha

    def call(self, x, training=None):
        """Return the student's logits."""
        return self.student(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Return the loss of one batch, and count its parts in the metrics."""
        self._check_no_loss()
        penalties = sum(self.losses)  # before the teacher is called, whose layers may have theirs
        labels, teacher_logits, weights = _labels(y), _teacher_logits(y), _weights(sample_weight)
        if teacher_logits is None:
            teacher_logits = self.teacher(x, training=False)
        soft = self._soft_loss(teacher_logits, y_pred, weights)
        parts = {"kl": soft / self.temperature**2}
        self._check_labels(labels)
        if self.alpha:
            parts["hard"] = self._hard_loss(labels, y_pred, weights)
        for tracker in self._trackers:
            tracker.update_state(parts[tracker.name], sample_weight=ops.shape(y_pred)[0])
        hard = self.alpha * parts["hard"] if self.alpha else 0.0
        return hard + (1 - self.alpha) * soft + penalties

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Update the compiled metrics, which compare the labels with the student's logits."""
        return super().compute_metrics(x, _labels(y), y_pred, _weights(sample_weight))

    def fit(self, x=None, y=None, batch_size=None, *args, validation_data=None, **kwargs):
        """Train the student on x, as `keras.Model.fit` does."""
        self._check_no_loss()
        if validation_data is not None:
            val_x, val_y, *weights = keras.utils.unpack_x_y_sample_weight(validation_data)
            val_y = self._ask_teacher(val_x, val_y, batch_size)
            if val_y is not None:
                validation_data = keras.utils.pack_x_y_sample_weight(val_x, val_y, *weights)
        y = self._ask_teacher(x, y, batch_size)
        return super().fit(x, y, batch_size, *args, validation_data=validation_data, **kwargs)

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """Return the loss and its parts on x, as `keras.Model.evaluate` does."""
        self._check_no_loss()
        y = self._ask_teacher(x, y, batch_size)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def _ask_teacher(self, x, y, batch_size):
        """Return y with the teacher's logits, if x holds arrays.

        What is wrong with the labels is said here: on JAX, an error within a step loses the
        weights.
        """
        if not all(hasattr(part, "__array__") for part in keras.tree.flatten(x)):
            return y
        labels, logits = _labels(y), _teacher_logits(y)
        self._check_labels(labels)
        if self.alpha:
            check_targets(labels)
        if logits is None:
            # Without a gradient, nothing is kept for a way back: larger batches fit.
            logits = self.teacher.predict(x, batch_size=4 * (batch_size or 32), verbose=0)
        if self.alpha and tuple(labels.shape) != tuple(logits.shape):
            raise ValueError(
                f"y has shape {tuple(labels.shape)}, the logits {tuple(logits.shape)}; expected a "
                "probability for each logit"
            )
        return {"teacher_logits": logits} | ({} if labels is None else {"labels": labels})

    def _check_no_loss(self):
        if self.loss is not None:
            raise ValueError(
                "a Distiller has its own loss; expected compile(optimizer) without a loss"
            )

    def _check_labels(self, labels):
        if labels is None and (self.alpha or self._compile_metrics):
            user = f"alpha is {self.alpha}" if self.alpha else "metrics are compiled"
            raise ValueError(f"{user}, but there are no labels; expected fit(x, y)")

    def get_config(self):
        """Return the arguments that make an equal model."""
        return {
            **super().get_config(),
            "student": keras.saving.serialize_keras_object(self.student),
            "teacher": keras.saving.serialize_keras_object(self.teacher),
            "temperature": self.temperature,
            "alpha": self.alpha,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Make the model of a configuration."""
        return cls(**revive(config, custom_objects, "student", "teacher"))


def _labels(y):
    return y.get("labels") if isinstance(y, dict) else y


def _teacher_logits(y):
    return y.get("teacher_logits") if isinstance(y, dict) else None


def _weights(sample_weight):
    """Return the weights of the examples, of which Keras makes one copy for each entry of y."""
    return keras.tree.flatten(sample_weight)[0]


def _check_models(student, teacher):
    models = {"student": student, "teacher": teacher}
    refuse_unknown_shapes(**models)
    shapes = student.output_shape, teacher.output_shape
    if shapes[0] != shapes[1] or len(student.outputs) > 1:
        raise ValueError(
            f"student gives outputs of shape {shapes[0]}, teacher {shapes[1]}; expected one "
            "output of each: logits for the same classes"
        )
    if {id(v) for v in student.variables} & {id(v) for v in teacher.variables}:
        raise ValueError(
            "student and teacher share weights; expected two models, of which training moves one: "
            "keras.models.clone_model(teacher) has weights of its own"
        )
    for name, model in models.items():
        if all(_gives_probabilities(model, value) for value in (0, 1)):
            raise ValueError(
                f"{name} gives probabilities, which sum to 1; expected logits: a last layer "
                "without softmax, or one that takes the logarithm after it"
            )


def _gives_probabilities(model, value):
    """Try the model on inputs that are `value` everywhere; those of any size are of size 128."""
    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    x = keras.tree.map_structure(
        lambda t: ops.full(
            [size or (128 if axis else 1) for axis, size in enumerate(t.shape)],
            value,
            dtype=t.dtype,
        ),
        inputs,
    )
    outputs = ops.convert_to_numpy(ops.cast(model(x, training=False), "float32"))
    # Half precision is 0.4 % off at most in each entry, and so in the sum.
    return bool((outputs >= 0).all() and (np.abs(outputs.sum(axis=-1) - 1) < 0.01).all())
