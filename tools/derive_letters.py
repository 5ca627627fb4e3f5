"""Derive kl_course/data/letters.csv, the letter frequencies of ten languages.

Run by hand, in an environment of its own (wordfreq is not a dependency of the course):

    pip install wordfreq==3.1.1 -e .
    python tools/derive_letters.py

Each language's longest word list is used ("large", words down to one in 100 million; for
Turkish only "small", down to one in a million, exists). A letter's weight is the sum, over all
words, of its occurrences in the word times the frequency of the word. Weights become integers
that sum to exactly one billion, so that the table is exact and reads the same everywhere.
"""

import csv
import string
from pathlib import Path

import numpy as np
import wordfreq

from kl_course.datasets import LANGUAGES, letters_only

CODES = ("en", "de", "fr", "es", "it", "pt", "nl", "pl", "fi", "tr")
BILLION = 10**9
TARGET = Path(__file__).parents[1] / "kl_course" / "data" / "letters.csv"


def letter_weights(code):
    """Return the weight of each letter a-z in one language, in alphabetical order."""
    weights = dict.fromkeys(string.ascii_lowercase, 0.0)
    for word, frequency in wordfreq.get_frequency_dict(code, wordlist="best").items():
        for letter in letters_only(word):
            weights[letter] += frequency
    return list(weights.values())


def to_billionths(weights):
    """Scale weights to integers that sum to one billion, by the largest-remainder method."""
    exact = np.array(weights) / sum(weights) * BILLION
    units = np.floor(exact).astype(int)
    largest_remainders = np.argsort(units - exact, kind="stable")[: BILLION - units.sum()]
    units[largest_remainders] += 1
    return units.tolist()


def main():
    """Write the table: one row a letter, one column a language."""
    columns = [to_billionths(letter_weights(code)) for code in CODES]
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["letter", *LANGUAGES])
        writer.writerows(zip(string.ascii_lowercase, *columns, strict=True))


if __name__ == "__main__":
    main()
