"""Gradients on whichever backend Keras runs."""

import keras
from keras import ops

BACKEND = keras.backend.backend()


def gradient(function, x):
    """Return the gradient of the sum of function(x) by x as a NumPy array."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        x = tf.convert_to_tensor(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = ops.sum(function(x))
        return ops.convert_to_numpy(tape.gradient(total, x))
    if BACKEND == "jax":
        import jax

        return ops.convert_to_numpy(jax.grad(lambda x: ops.sum(function(x)))(jax.numpy.asarray(x)))
    import torch

    x = torch.tensor(x, requires_grad=True)
    ops.sum(function(x)).backward()
    return x.grad.numpy()
