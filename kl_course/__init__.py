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

__all__ = [
    "bernoulli_kl",
    "cross_entropy",
    "entropy",
    "jeffreys_divergence",
    "js_divergence",
    "kl_divergence",
    "kl_from_logits",
    "mutual_information",
    "total_variation",
]
