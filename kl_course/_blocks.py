"""The loops over blocks: large arrays are worked through in pieces that stay in the cache."""

import math

import numpy as np

from kl_course import _validation as validation

BLOCK = 16_384  # elements: a block and its temporaries stay in the processor's cache
SHORT = 32  # rows up to this length are turned, so that operations run across rows


def by_rows(function, arrays, axis=-1, base=None, at_most=np.inf):
    """Apply `function` to blocks of whole rows of the broadcast arrays; nats in, `base` out."""
    unit = validation.log_base(base)
    views = [np.moveaxis(a, axis, -1) for a in validation.broadcast(**arrays)]
    result = np.empty(views[0].shape[:-1], validation.result_dtype(*arrays.values()))
    with np.errstate(all="ignore"):  # zeros and infinities are the functions' business
        for place, blocks in row_blocks(views):
            nats = np.minimum(function(*blocks), at_most)
            result[place] = (nats / unit).reshape(result[place].shape)
    return result[()]


def places(lead, size):
    """Yield index tuples into axes `lead` of items of `size` elements: about BLOCK at a time."""
    if not lead:
        yield ()
        return
    cut = len(lead) - 1
    while cut > 0 and size * lead[cut] <= BLOCK:
        size *= lead[cut]
        cut -= 1
    step = max(1, BLOCK // size)
    for outer in np.ndindex(*lead[:cut]):
        for start in range(0, lead[cut], step):
            yield (*outer, slice(start, start + step))


def row_blocks(arrays):
    """Yield (place, blocks): a few whole rows of each array, the symbols on the first axis.

    They are in float64, but for rows that are longer than a block.
    """
    *lead, size = arrays[0].shape
    for place in places(lead, size):
        blocks = [a[place].reshape(-1, size).T for a in arrays]
        if size <= BLOCK:
            order = "C" if size <= SHORT else "K"
            blocks = [np.asarray(x, np.float64, order) for x in blocks]
        yield place, blocks


def sum_symbols(terms, *blocks):
    """Add terms(*blocks) over the symbols, in float64 and in chunks of at most BLOCK symbols."""
    if len(blocks[0]) <= BLOCK:
        return terms(*blocks).sum(axis=0)
    chunks = [slice(i, i + BLOCK) for i in range(0, len(blocks[0]), BLOCK)]
    parts = [terms(*(np.asarray(x[c], np.float64) for x in blocks)).sum(axis=0) for c in chunks]
    return np.array([math.fsum(sums) for sums in zip(*parts, strict=True)])
