"""Derive kl_course/data/alice.txt from a copy of the book that ships in the sources of Brotli.

Run by hand; needs nothing but Python:

    pip download --no-deps --no-binary :all: brotli==1.2.1
    python tools/derive_text.py brotli-1.2.1.tar.gz

Brotli's test file is "alice29.txt" of the Canterbury corpus. Only the story is kept, from the
heading of chapter I to the words "THE END": the title page (with the name of the electronic
edition) and DOS's end-of-file mark are cut off, CR LF becomes LF.
"""

import hashlib
import sys
import tarfile
from pathlib import Path

MEMBER = "brotli-1.2.1/tests/testdata/alice29.txt"
MEMBER_SHA256 = "7467306ee0feed4971260f3c87421154a05be571d944e9cb021a5713700c38f0"
TARGET = Path(__file__).parents[1] / "kl_course" / "data" / "alice.txt"


def read_source(archive):
    """Return the bytes of the book in Brotli's source archive, proved to be the expected ones."""
    with tarfile.open(archive) as tar:
        data = tar.extractfile(MEMBER).read()
    if hashlib.sha256(data).hexdigest() != MEMBER_SHA256:
        sys.exit(f"{MEMBER} in {archive} is another text: its SHA-256 is not {MEMBER_SHA256}")
    return data


def story(data):
    """Return the text from the first chapter's heading to the words THE END."""
    text = data.decode("ascii").replace("\r\n", "\n")
    end = "THE END\n"
    return text[text.index("CHAPTER I\n") : text.index(end) + len(end)]


def main():
    """Write the story."""
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/derive_text.py brotli-1.2.1.tar.gz")
    TARGET.write_bytes(story(read_source(sys.argv[1])).encode("ascii"))


if __name__ == "__main__":
    main()
