"""Train a teacher on real digits and distil it, in one process or in several that share the work.

    KERAS_BACKEND=jax python docs/cluster/distill.py build/one

If the environment variables of `keras.distribution` name other processes, each takes its part of
every batch. Training goes on from the checkpoints that the folder holds.
"""

import argparse
import contextlib
import functools
import os
import pickle
from pathlib import Path

import jax
import keras
import numpy as np
from jax.experimental.multihost_utils import sync_global_devices

from kl_course import RunningKL
from kl_course.datasets import digits
from kl_course.nn import Distiller, KLFromLogits

BATCH = 100  # images in a step, of all processes together
SEED = 7


def main():
    """Train the teacher, then the student, and measure how far they are apart."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="for the checkpoints; all processes must see it")
    parser.add_argument("--epochs", type=int, default=10, help="for each model (default: 10)")
    options = parser.parse_args()
    if keras.backend.backend() != "jax":
        parser.error(f"Keras runs on {keras.backend.backend()}: set KERAS_BACKEND=jax")
    options.folder.mkdir(parents=True, exist_ok=True)
    join()
    x_train, y_train, x_test, _ = digits(SEED)
    labels = np.eye(10, dtype="float32")[y_train]
    teacher = train(options.folder / "teacher.keras", new_teacher, x_train, labels, options.epochs)
    # In several processes, fit cannot ask the teacher for its logits: they come with the data.
    targets = {"teacher_logits": logits(teacher, x_train)}
    path = options.folder / "distiller.keras"
    distiller = train(path, lambda: new_distiller(teacher), x_train, targets, options.epochs)
    evaluate(options.folder, teacher, distiller.student, x_test)


def join():
    """Join the other processes, if the environment names them."""
    address = os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES")
    if address is None:
        return
    if address.startswith("127."):
        listen_on(address.split(":")[0])
    keras.distribution.initialize()
    if BATCH % jax.process_count():
        raise SystemExit(f"{jax.process_count()} processes cannot share {BATCH} images evenly")
    # The weights are the same everywhere; each process brings its own part of the data.
    parallel = keras.distribution.DataParallel(auto_shard_dataset=False)
    keras.distribution.set_distribution(parallel)


def listen_on(host):
    """Take the data of other processes on this address, not on that of the machine's name.

    JAX has no public setting for it.
    """
    from jaxlib import _jax

    make = _jax.make_gloo_tcp_collectives
    _jax.make_gloo_tcp_collectives = functools.partial(make, hostname=host)


def new_teacher():
    """Return a compiled network that learns from labels."""
    model = network(256)
    model.compile(keras.optimizers.Adam(3e-3), loss=KLFromLogits())
    return model


def new_distiller(teacher):
    """Return a compiled distiller with a new student."""
    bare = keras.Model(teacher.inputs, teacher.outputs)  # the teacher without its optimiser
    model = Distiller(network(32), bare, temperature=4.0)
    model.compile(keras.optimizers.Adam(1e-2))
    return model


def network(hidden):
    """Return a network that gives logits; it starts with the same weights in each process."""
    keras.utils.set_random_seed(SEED)
    relu = keras.layers.Dense(hidden, activation="relu")
    return keras.Sequential([keras.Input((64,)), relu, keras.layers.Dense(10)])


def train(path, make, x, y, epochs):
    """Train the model of the checkpoint, or a new one if there is none, to the last epoch."""
    model = keras.saving.load_model(path) if path.exists() else make()
    process, processes = jax.process_index(), jax.process_count()
    steps = len(x) // BATCH
    for epoch in range(int(model.optimizer.iterations) // steps, epochs):
        # The order depends on the epoch alone: it is the same after a new start.
        order = np.random.default_rng([SEED, epoch]).permutation(len(x))
        batches = order[: steps * BATCH].reshape(steps, BATCH)
        mine = batches[:, process::processes].ravel()
        data = keras.tree.map_structure(lambda whole, rows=mine: whole[rows], (x, y))
        history = model.fit(*data, BATCH // processes, shuffle=False, verbose=0).history
        if process == 0:
            save(model, path)
            print(f"{path.stem} epoch {epoch + 1}: loss {history['loss'][0]:.4f}", flush=True)
    return model


def save(model, path):
    """Replace the checkpoint in one move: a process killed before it leaves the old one whole."""
    new = path.with_stem(f"{path.stem}-new")
    with alone():
        model.save(new)
    os.replace(new, path)


def logits(model, x):
    """Return the model's logits of x, which may differ from process to process."""
    with alone():
        copy = keras.models.clone_model(model)
        copy.set_weights(model.get_weights())
        return copy.predict(x, verbose=0)


@contextlib.contextmanager
def alone():
    """Let Keras make variables for this process; else it waits until the others make them too."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    yield
    keras.distribution.set_distribution(distribution)


def evaluate(folder, teacher, student, x):
    """Measure KL(teacher || student): each process on its part of x, and process 0 merges."""
    process, processes = jax.process_index(), jax.process_count()
    mine = x[process::processes]
    part = RunningKL()
    part.update(softmax(logits(teacher, mine)), softmax(logits(student, mine)))
    (folder / f"kl-{process}.pickle").write_bytes(pickle.dumps(part))
    sync_global_devices("all parts are written")
    if process == 0:
        total = RunningKL()
        for i in range(processes):
            total.merge(pickle.loads((folder / f"kl-{i}.pickle").read_bytes()))
        kl, stderr = total.result()
        print(f"KL(teacher || student): {kl:.5f} ± {stderr:.5f} nats, {total.count} test images")


def softmax(z):
    """Return the probabilities of logits, in float64."""
    return np.exp(z - np.logaddexp.reduce(z.astype("float64"), axis=1, keepdims=True))


if __name__ == "__main__":
    main()
