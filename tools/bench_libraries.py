"""What bench.py compares: kl_course, the libraries that are installed, and yardsticks.

A loader returns, for each name, a converter of the inputs, which runs outside the measured time,
and functions along the last axis, by measure: each is what a user of that library writes. Normal
distributions come as mean_p, spread_p, mean_q, spread_q; the spread is a standard deviation, or a
covariance matrix.
"""

import numpy as np

import kl_course as kc

OURS = "kl_course"
PASSES = "numpy copy", "numpy log"  # what reading and writing costs, and one log of each entry
YARDSTICKS = (*PASSES, "textbook")


def numpy_only():
    ours = {
        "KL": kc.kl_divergence,
        "entropy": kc.entropy,
        "JS": kc.js_divergence,
        "KL from logits": kc.kl_from_logits,
        "normal KL": _normals(kc.normal_kl, "std"),
        "diagonal normal KL": _normals(kc.diag_normal_kl, "std"),
        "full normal KL": _normals(kc.mvn_kl, "cov"),
    }
    discrete = [name for name in ours if "normal" not in name]
    passes = (lambda *arrays: arrays[0].copy()), (lambda *arrays: np.log(arrays[0]))
    calls = ours, *(dict.fromkeys(discrete, one) for one in passes), _textbook()
    return {name: (np.asarray, c) for name, c in zip((OURS, *YARDSTICKS), calls, strict=True)}


def _normals(function, spread):
    names = "mean_p", f"{spread}_p", "mean_q", f"{spread}_q"
    return lambda *arrays: function(**dict(zip(names, arrays, strict=True)))


def _textbook():
    def normal(mean_p, std_p, mean_q, std_q):
        return np.log(std_q / std_p) + (std_p**2 + (mean_p - mean_q) ** 2) / (2 * std_q**2) - 0.5

    def full(mean_p, cov_p, mean_q, cov_q):
        precision, shift = np.linalg.inv(cov_q), mean_p - mean_q
        trace = np.einsum("...ij,...ji->...", precision, cov_p)
        distance = (shift * (precision @ shift[..., None])[..., 0]).sum(axis=-1)
        log_dets = np.linalg.slogdet(cov_q)[1] - np.linalg.slogdet(cov_p)[1]
        return (trace - shift.shape[-1] + distance + log_dets) / 2

    return {
        "normal KL": normal,
        "diagonal normal KL": lambda *arrays: normal(*arrays).sum(axis=-1),
        "full normal KL": full,
    }


def scipy():
    from scipy import special, stats
    from scipy.spatial.distance import jensenshannon

    def entropy(*arrays):
        return stats.entropy(*arrays, axis=-1)

    def js(p, q):
        return jensenshannon(p, q, axis=-1) ** 2

    return {
        "scipy.stats": (np.asarray, {"KL": entropy, "entropy": entropy}),
        "scipy.spatial": (np.asarray, {"JS": js}),
        "scipy.special": (np.asarray, _from_parts(np, special, special.log_softmax)),
    }


def jax():
    import jax

    jax.config.update("jax_enable_x64", True)

    def compiled(function):
        function = jax.jit(function)
        return lambda *arrays: function(*arrays).block_until_ready()

    functions = _from_parts(jax.numpy, jax.scipy.special, jax.nn.log_softmax)
    return {"jax": (jax.numpy.asarray, {m: compiled(f) for m, f in functions.items()})}


def _from_parts(xp, special, log_softmax):
    def kl(p, q):
        return special.rel_entr(p, q).sum(axis=-1)

    def entropy(p):
        return special.entr(p).sum(axis=-1)

    def js(p, q):
        m = (p + q) / 2
        return (kl(p, m) + kl(q, m)) / 2

    def logits(a, b):
        log_p, log_q = log_softmax(a, axis=-1), log_softmax(b, axis=-1)
        return (xp.exp(log_p) * (log_p - log_q)).sum(axis=-1)

    return {"KL": kl, "entropy": entropy, "JS": js, "KL from logits": logits}


def torch():
    import torch
    from torch.distributions import (
        Categorical,
        Independent,
        MultivariateNormal,
        Normal,
        kl_divergence,
    )
    from torch.nn.functional import kl_div, log_softmax

    torch.set_num_threads(1)
    functional = {
        "KL": lambda p, q: kl_div(q.log(), p, reduction="none").sum(-1),
        "KL from logits": lambda a, b: kl_div(
            log_softmax(b, -1), log_softmax(a, -1), reduction="none", log_target=True
        ).sum(-1),
    }
    distributions = {
        "KL": lambda p, q: kl_divergence(Categorical(p), Categorical(q)),
        "entropy": lambda p: Categorical(p).entropy(),
        "KL from logits": lambda a, b: kl_divergence(Categorical(logits=a), Categorical(logits=b)),
        "normal KL": _between(Normal, kl_divergence),
        "diagonal normal KL": _between(lambda *p: Independent(Normal(*p), 1), kl_divergence),
        "full normal KL": _between(MultivariateNormal, kl_divergence),
    }
    return {
        "torch.functional": (torch.from_numpy, functional),
        "torch.distributions": (torch.from_numpy, distributions),
    }


def _between(distribution, kl):
    def call(mean_p, spread_p, mean_q, spread_q):
        return kl(distribution(mean_p, spread_p), distribution(mean_q, spread_q))

    return call


def keras():
    _tensorflow_with_one_thread()
    from keras import losses, ops

    functions = {
        "KL": losses.kl_divergence,
        "entropy": lambda p: losses.categorical_crossentropy(p, p),
        "KL from logits": lambda a, b: losses.kl_divergence(ops.softmax(a), ops.softmax(b)),
    }
    return {"keras": (ops.convert_to_tensor, functions)}


def tensorflow_probability():
    tf = _tensorflow_with_one_thread()
    from tensorflow_probability import distributions as tfd

    def full(mean, cov):
        return tfd.MultivariateNormalTriL(mean, tf.linalg.cholesky(cov))

    functions = {
        "normal KL": _between(tfd.Normal, tfd.kl_divergence),
        "diagonal normal KL": _between(tfd.MultivariateNormalDiag, tfd.kl_divergence),
        "full normal KL": _between(full, tfd.kl_divergence),
    }
    return {"tfp.distributions": (tf.convert_to_tensor, functions)}


def distillers(temperature):
    """Return, by library, a function of student and teacher that makes a distiller of them."""
    from keras import distillation, losses

    from kl_course.nn import Distiller

    def of_keras(student, teacher):
        loss = distillation.LogitsDistillation(temperature, loss=losses.KLDivergence())
        distiller = distillation.Distiller(teacher, student, loss, student_loss_weight=0.0)
        distiller.compile("sgd", loss="mse")  # it demands a loss on labels; its weight is 0
        return distiller

    def ours(student, teacher):
        distiller = Distiller(student, teacher, temperature=temperature)
        distiller.compile("sgd")
        return distiller

    return {OURS: ours, "keras": of_keras}


def distillation_losses(temperature):
    """Return, by library, the loss of the teacher's logits and the student's."""
    from keras import distillation, losses

    from kl_course.nn import DistillationLoss

    theirs = distillation.LogitsDistillation
    return {
        OURS: DistillationLoss(temperature),
        "keras": theirs(temperature, loss=losses.KLDivergence()).compute_loss,
        "keras, default": theirs(temperature).compute_loss,
    }


def _tensorflow_with_one_thread():
    import tensorflow

    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    return tensorflow


def libraries(loaders=(numpy_only, scipy, torch, keras, tensorflow_probability, jax)):
    """Return the installed libraries, and the names of those that are missing."""
    installed, missing = {}, []
    for load in loaders:
        try:
            installed |= load()
        except ImportError:
            missing.append(load.__name__)
    return installed, missing
