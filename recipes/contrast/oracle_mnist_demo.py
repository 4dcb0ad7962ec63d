"""Make the shipped oracle_mnist_demo.npz: the official test pictures of Oracle-MNIST with names of classes and a split.

    python recipes/contrast/oracle_mnist_demo.py PICTURES.npz OUT.npz

PICTURES.npz holds x uint8 (3000, 28, 28) and y uint8 (3000,), the official t10k files byte for byte. Per class 180 train,
20 validation, 100 test, drawn by seed 0. Seconds; 1.5 MB.
"""

import sys

import numpy as np

from edubba.core import streams

CLASSES = ["big", "sun", "moon", "cattle", "next", "field", "not", "arrow", "time", "wood"]


def main(source: str, out: str) -> None:
    with np.load(source, allow_pickle=False) as data:
        x, y = data["x"], data["y"]
    split = np.empty(len(x), "U10")
    for k in range(len(CLASSES)):
        rows = np.flatnonzero(y == k)
        rows = rows[streams.permutation(0, "oracle-mnist-demo", k, n=len(rows))]
        split[rows] = np.repeat(["test", "validation", "train"], [100, 20, len(rows) - 120])
    np.savez_compressed(out, allow_pickle=False, x=x, y=y, split=split, classes=np.array(CLASSES))


if __name__ == "__main__":
    main(*sys.argv[1:])
