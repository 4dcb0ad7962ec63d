"""A small transformer that says what stands in a place, from both sides and over the lines around.

Two stacks of layers, one that sees only what stands before and one that sees only what stands after, are joined for each
place (Melamud et al. 2016; Baevski et al. 2019), so that every sign of a text is asked for at once: with a fifth of the signs
masked and only these asked for, learning took ten times as long. Spans are masked besides (Joshi et al. 2020), as a gap of
several signs must be filled. Pre-norm (Xiong et al. 2020), relative positions (Raffel et al. 2020). Lines are joined by a line
token, so how lines begin and end is learned like everything else.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from edubba.core import streams, train
from edubba.tablets import corpus

SPANS = (0.4, 0.25, 0.15, 0.1, 0.1)
"""how often spans of 1 to 5 signs are masked"""
FAR = 48
"""signs; what is further away is simply far"""
SEEN = 96
"""tokens in a training window, and at most around a gap"""


class Layer(nn.Module):
    """Attention within a text, then two linear maps; each adds to what came in.

    A learned number for each head and distance is added to the scores (Raffel et al. 2020), distances beyond `FAR` are
    as good as equal.
    """

    def __init__(self, width: int, heads: int, dropout: float, layer: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.distance = nn.Parameter(neighbours(heads, layer, side))
        for part in (self.qkv, self.out, self.wide, self.narrow):
            nn.init.normal_(part.weight, std=0.02)
            nn.init.zeros_(part.bias)

    def forward(self, x: Tensor, apart: Tensor, hidden: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(self.before(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        score = q @ k.transpose(-1, -2) * (d // self.heads) ** -0.5 + self.distance[:, apart].to(q.dtype)
        score = score.masked_fill(hidden, -torch.inf)
        seen = self.out((score.softmax(-1).to(v.dtype) @ v).transpose(1, 2).reshape(b, n, d))
        x = x + self._dropped(seen)
        return x + self._dropped(self.narrow(F.relu(self.wide(self.between(x)))))

    def _dropped(self, x: Tensor) -> Tensor:
        return dropped(x, self.dropout) if self.training else x


def neighbours(heads: int, layer: int, side: int) -> Float[Tensor, "h d"]:
    """First numbers of the distances: all heads but one of a layer look at one neighbour each.

    From zeros, the network first has to find out that neighbours matter, which takes longer than all that follows.
    """
    bias = torch.zeros(heads, 2 * FAR + 1)
    for head in range(heads - 1):
        bias[head, FAR + side * (1 + (head + layer) % 4)] = 6.0  # e^6 against a hundred others
    return bias


def dropped(x: Tensor, share: float) -> Tensor:
    """Dropout of whole features of a row (Gal and Ghahramani 2016): a fiftieth of the random numbers of the usual one."""
    if not share:
        return x
    kept = torch.rand(len(x), 1, x.shape[2], device=x.device) >= share
    return x * (kept / (1 - share)).to(x.dtype)


class Masked(nn.Module):
    """Token numbers (b, n) to logits (b, n, vocabulary): at each place from all that stands before and after it.

    What stands in a place has no part in its own logits, so every sign of a text can be asked for at once, and those
    that are lost stand there as `corpus.MASK`.

    Parameters
    ----------
    size
        Tokens in the vocabulary; the first are `corpus.SPECIAL`, which are never predicted.
    width, layers, heads
        `layers` for each direction. 256, 3 and 4 make 5.2 million weights.
    """

    def __init__(
        self, size: int, *, width: int = 256, layers: int = 3, heads: int = 4, dropout: float = 0.1, seed: int = 0
    ) -> None:
        super().__init__()
        self.size, self.width, self.heads, self.dropout = size, width, heads, dropout
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(streams.key(seed, "weights/masked") % 2**63)
            self.embedding = nn.Embedding(size, width)
            self.before = nn.ModuleList(Layer(width, heads, dropout, layer, -1) for layer in range(layers))
            self.after = nn.ModuleList(Layer(width, heads, dropout, layer, 1) for layer in range(layers))
            self.edge = nn.Parameter(torch.zeros(2, width))
            self.norm = nn.LayerNorm(2 * width)
            self.join, self.last = nn.Linear(2 * width, 2 * width), nn.Linear(2 * width, width)
            self.final = nn.LayerNorm(width)
            self.bias = nn.Parameter(torch.zeros(size))
            nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, tokens: Int64[Tensor, "b n"], text: Int64[Tensor, "b n"] | None = None) -> Float[Tensor, "b n v"]:
        """`text` numbers the texts in a row: nothing is seen across them. None: a row is one text, without padding."""
        x = self.embedding(tokens) * self.width**0.5
        x = dropped(x, self.dropout) if self.training else x
        at = torch.arange(tokens.shape[1], device=x.device)
        apart = (at[None, :] - at[:, None]).clamp(-FAR, FAR) + FAR
        later = at[None, :] > at[:, None]
        other = torch.zeros_like(later) if text is None else text[:, None, :, None] != text[:, None, None, :]
        before, after = x, x
        for layer in self.before:
            before = layer(before, apart, other | later)
        for layer in self.after:
            after = layer(after, apart, other | later.T)
        edge = self.edge[:, None, None].expand(-1, len(x), 1, -1).to(before.dtype)
        before, after = torch.cat([edge[0], before[:, :-1]], 1), torch.cat([after[:, 1:], edge[1]], 1)
        if text is not None:  # the neighbour is of another text, or padding
            begins = torch.cat([torch.zeros_like(text[:, :1], dtype=torch.bool), text[:, 1:] != text[:, :-1]], 1)
            ends = torch.cat([begins[:, 1:], torch.zeros_like(begins[:, :1])], 1)
            before = torch.where(begins[..., None], edge[0], before)
            after = torch.where(ends[..., None], edge[1], after)
        both = torch.cat([before, after], -1)
        x = self.final(self.last(F.gelu(self.join(self.norm(both)))))
        logits = F.linear(x, self.embedding.weight, self.bias).float()
        never = torch.arange(self.size, device=x.device) < len(corpus.SPECIAL)
        return logits.masked_fill(never, -torch.inf)


def windows(texts: Sequence[np.ndarray], *, seen: int = SEEN) -> int:
    """Training windows in an epoch: all texts in a row are cut into so many."""
    return max(1, sum(map(len, texts)) // seen)


def batches(
    texts: Sequence[np.ndarray], plan: train.Plan, *, seed: int, share: float, noise: float, seen: int = SEEN
) -> Callable[[int, int, int], tuple[Tensor, Tensor, Tensor]]:
    """batch(step, rank, world) -> what the network sees, which text each place is of, what stood there (-1: no sign).

    In each epoch the texts stand in another order and are cut at other places.

    Parameters
    ----------
    texts
        Token numbers of each.
    plan
        Over `windows(texts)`.
    share
        Of the places that are masked, in spans of 1 to 5 within a line.
    noise
        Share of the other signs that are shown as broken: a restorer works on broken texts.
    """
    special = len(corpus.SPECIAL)
    line, broken, mask = (corpus.SPECIAL.index(token) for token in (corpus.LINE, corpus.BREAK, corpus.MASK))
    mean = float(np.dot(SPANS, np.arange(1, len(SPANS) + 1)))
    ends = np.cumsum(SPANS)

    @lru_cache(maxsize=2)
    def rows(epoch: int) -> tuple[np.ndarray, np.ndarray]:
        order = streams.permutation(seed, "texts", epoch, n=len(texts))
        tokens = np.concatenate([texts[i] for i in order])
        which = np.repeat(order, [len(texts[i]) for i in order])
        cut = int(streams.uniform(seed, "cut", epoch, index=np.array([0]), k=1)[0, 0] * seen)
        tokens, which = np.roll(tokens, cut), np.roll(which, cut)
        size = plan.n * seen
        tokens, which = (np.resize(x, size) for x in (tokens, which))
        return tokens.reshape(plan.n, seen), which.reshape(plan.n, seen)

    def batch(step: int, rank: int, world: int) -> tuple[Tensor, Tensor, Tensor]:
        index, epoch = plan.index(step, rank, world), plan.epoch(step)
        u = streams.uniform(seed, "masks", epoch, index=index, k=3 * seen)
        tokens, text = rows(epoch)
        shown, text = tokens[index], text[index]
        start, size, spoil = u.reshape(len(index), 3, seen).transpose(1, 0, 2)
        begins, size = start < share / mean, 1 + np.searchsorted(ends[:-1], size, side="right")
        masked = np.zeros(shown.shape, bool)
        going = np.zeros(len(index), np.int64)  # signs of the span that are still to be masked
        for at in range(seen):
            going = np.where(begins[:, at], np.maximum(going, size[:, at]), going)
            going = np.where(shown[:, at] == line, 0, going)
            masked[:, at] = going > 0
            going = np.maximum(going - 1, 0)
        masked &= shown >= special
        wanted = np.where(shown >= special, shown, -1)
        shown = np.where(masked, mask, np.where((spoil < noise) & (shown >= special), broken, shown))
        return torch.from_numpy(shown), torch.from_numpy(text), torch.from_numpy(wanted)

    return batch


def loss(model: nn.Module, items: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, dict[str, Any]]:
    """Cross entropy of all signs, masked or not, over what may be written."""
    shown, text, wanted = items
    special = len(corpus.SPECIAL)
    at = wanted >= 0
    logits, true = model(shown, text)[at][:, special:], wanted[at] - special
    value = F.cross_entropy(logits, true, reduction="sum") / max(1, len(true))
    return value, {"right": lambda: (logits.detach().argmax(1) == true).double().mean()}


@torch.no_grad()
def log_probabilities(
    model: Masked, rows: Sequence[np.ndarray], at: Sequence[np.ndarray], *, batch_size: int = 64, bf16: bool = False
) -> list[Float[np.ndarray, "k v"]]:
    """Log probabilities of every token at some places of each row; special tokens have -inf."""
    found: list[np.ndarray] = [np.empty(0)] * len(rows)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    device = model.bias.device
    for i in range(0, len(order), batch_size):
        part = order[i : i + batch_size]
        n = max(len(rows[j]) for j in part)
        tokens, text = np.zeros((len(part), n), np.int64), np.full((len(part), n), -1)
        for row, j in enumerate(part):
            tokens[row, : len(rows[j])], text[row, : len(rows[j])] = rows[j], 0
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            logits = model(torch.from_numpy(tokens).to(device), torch.from_numpy(text).to(device))
        for row, j in enumerate(part):
            found[j] = F.log_softmax(logits[row, at[j]], -1).double().cpu().numpy()
    return found


def everywhere(model: Masked, tokens: Int64[np.ndarray, "n"], *, bf16: bool = False) -> Float[np.ndarray, "n v"]:
    """Log probabilities of every token at every place of a text, given all the others.

    A long text is seen in windows that overlap by half, and each place is taken from the one that it is most central in.
    """
    first = np.arange(0, max(1, len(tokens) - SEEN // 2), SEEN // 2)
    rows = [tokens[i : i + SEEN] for i in first]
    found = log_probabilities(model, rows, [np.arange(len(row)) for row in rows], bf16=bf16)
    where = np.arange(len(tokens))
    last = np.minimum(first + SEEN, len(tokens))
    inside = np.minimum(where[:, None] - first, last - 1 - where[:, None])
    best = np.where((where[:, None] >= first) & (where[:, None] < last), inside, -1).argmax(1)
    return np.stack([found[w][i - first[w]] for i, w in zip(where, best, strict=True)])
