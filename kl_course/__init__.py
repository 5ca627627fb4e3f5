"""Entropy, KL divergence and neural networks: the course's companion package.

`kl_course` itself needs NumPy alone. KL(P ‖ Q) is always "of P from Q": f(p, q).
"""

from kl_course.discrete import (
    bernoulli_kl,
    cross_entropy,
    entropy,
    jeffreys_divergence,
    js_divergence,
    kl_divergence,
    kl_from_logits,
    mutual_information,
    total_variation,
)
from kl_course.estimators import (
    Estimate,
    RunningKL,
    knn_kl,
    mc_kl,
    pathwise_gradient,
    plugin_entropy,
    score_gradient,
)
from kl_course.gaussian import (
    diag_normal_kl,
    mvn_entropy,
    mvn_kl,
    normal_entropy,
    normal_kl,
)

__all__ = [
    "Estimate",
    "RunningKL",
    "bernoulli_kl",
    "cross_entropy",
    "diag_normal_kl",
    "entropy",
    "jeffreys_divergence",
    "js_divergence",
    "kl_divergence",
    "kl_from_logits",
    "knn_kl",
    "mc_kl",
    "mutual_information",
    "mvn_entropy",
    "mvn_kl",
    "normal_entropy",
    "normal_kl",
    "pathwise_gradient",
    "plugin_entropy",
    "score_gradient",
    "total_variation",
]
