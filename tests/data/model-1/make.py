"""Made small-classifier.tar.gz and expected.json, once, with edubba 0.1.0.dev0: never to be made again.

A bundle of the first format must load for ever, and give the same logits. The weights are a short pattern, not learned,
so that 310,000 of them pack into a few KB.

    python tests/data/model-1/make.py
"""

import json
import tarfile
import tempfile
from pathlib import Path

import torch

HERE = Path(__file__).parent


def pictures() -> torch.Tensor:
    """(3, 1, 28, 28) in [0, 1]."""
    return (torch.arange(3 * 28 * 28) ** 2 % 29 / 28).view(3, 1, 28, 28)


def main() -> None:
    from edubba.core import models

    card = models.card(
        kind="classifier",
        architecture={"name": "small", "arguments": {"width": 1, "channels": 1, "size": 28, "stem": "auto"}},
        input={"kind": "image", "channels": 1, "size": 28, "range": [0, 1], "mean": [0.25], "std": [0.5]},
        output={"embedding": 512, "classes": ["big", "sun", "moon"]},
        calibration={"temperature": 1.5, "split": "validation", "ece_before": 0.1, "ece_after": 0.02},
        data={"n": 0, "source_fingerprint": "0" * 64, "seen": None, "licences": None, "card": None},
        licence="CC0-1.0",
    )
    model = models.build(card)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point():
                pattern = (torch.arange(tensor.numel()) * 7 % 17).view(tensor.shape) / 8 - 1
                fan_in = tensor[0].numel() if tensor.ndim > 1 else 16
                centre = 1.0 if name.endswith(("running_var", "weight")) and tensor.ndim == 1 else 0.0
                tensor.copy_(centre + pattern / fan_in**0.5)
            else:
                tensor.fill_(5)
    with tempfile.TemporaryDirectory() as folder:
        path = models.save(Path(folder) / "small-classifier", model, card)
        logits = models.load(path).model(pictures()).tolist()
        with tarfile.open(HERE / "small-classifier.tar.gz", "x:gz") as tar:
            tar.add(path, arcname=path.name)
    (HERE / "expected.json").write_text(json.dumps({"logits": logits}, indent=1) + "\n")


if __name__ == "__main__":
    main()
