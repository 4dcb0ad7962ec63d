import math
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edubba.core import losses
from edubba.core.errors import UserError

# Values to twelve digits: computed once in float64 from the formula and checked by finite differences.
A = torch.tensor([[1, 2, 3, -1], [0.5, -1, 2, 0], [-2, 1, 0, 1]], dtype=torch.float64)
B = torch.tensor([[1, 1, 3, 0], [1, -1, 1, 0.5], [-1, 2, 0.5, 1]], dtype=torch.float64)
NT_XENT = {1.0: 1.068550173813, 0.5: 0.711837760856, 0.1: 0.079346501864, 0.07: 0.037816704143, 0.01: 0.000000716591}
DCL = {1.0: 0.641951501247, 0.5: 0.000445712317, 0.1: -3.867642724925, 0.07: -5.716634877854, 0.01: -41.367112126733}
GRADIENT_A = [
    [-0.018109736397, 0.003687125874, 0.006695577862, 0.009351248938],
    [-0.053140606831, 0.138483149185, 0.082526726300, -0.046663288874],
    [-0.021320653311, -0.038568742020, 0.031995004779, -0.004072564602],
]
GRADIENT_B = [
    [-0.006449179503, -0.067184547221, 0.024544575575, 0.059300632541],
    [0.049502652215, 0.079585428522, 0.012127029121, 0.035911494372],
    [0.094243393228, 0.034331630344, 0.103974148683, -0.026406941802],
]
BOTH = pytest.mark.parametrize("objective", [losses.nt_xent, losses.dcl])


def random_pair(
    n: int, d: int, seed: int, noise: float = 0.5, dtype=torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, d, generator=generator, dtype=dtype)
    return z, z + noise * torch.randn(n, d, generator=generator, dtype=dtype)


def by_definition(z1: torch.Tensor, z2: torch.Tensor, temperature: float, *, decoupled: bool) -> float:
    rows = [row.tolist() for row in (*z1, *z2)]
    n, total = len(z1), 0.0

    def cosine(a: list[float], b: list[float]) -> float:
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)

    for i, row in enumerate(rows):
        positive = (i + n) % (2 * n)
        left_out = {i, positive} if decoupled else {i}
        sums = sum(math.exp(cosine(row, other) / temperature) for k, other in enumerate(rows) if k not in left_out)
        total += math.log(sums) - cosine(row, rows[positive]) / temperature
    return total / (2 * n)


@pytest.fixture
def block(request, monkeypatch):
    monkeypatch.setattr(losses, "BLOCK", request.param)


@pytest.mark.parametrize("temperature", NT_XENT)
@pytest.mark.parametrize("block", [losses.BLOCK, 13, 1], indirect=True)
def test_golden_values(block, temperature):
    assert losses.nt_xent(A, B, temperature=temperature).item() == pytest.approx(NT_XENT[temperature], abs=2e-12)
    assert losses.dcl(A, B, temperature=temperature).item() == pytest.approx(DCL[temperature], abs=2e-12)


@pytest.mark.parametrize("temperature", NT_XENT)
def test_float32_reaches_the_golden_values_within_its_rounding(temperature):
    rounding = 2e-7 / temperature
    got = losses.nt_xent(A.float(), B.float(), temperature=temperature)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(NT_XENT[temperature], abs=rounding)
    assert losses.dcl(A.float(), B.float(), temperature=temperature).item() == pytest.approx(
        DCL[temperature], abs=rounding
    )


@pytest.mark.parametrize("block", [losses.BLOCK, 13, 1], indirect=True)
def test_golden_gradients(block):
    a, b = A.clone().requires_grad_(), B.clone().requires_grad_()
    losses.nt_xent(a, b, temperature=0.5).backward()
    torch.testing.assert_close(a.grad, torch.tensor(GRADIENT_A, dtype=torch.float64), rtol=0, atol=1e-12)
    torch.testing.assert_close(b.grad, torch.tensor(GRADIENT_B, dtype=torch.float64), rtol=0, atol=1e-12)
    a.grad = None
    losses.dcl(a, b, temperature=0.1).backward()
    first = [-0.350279187518, 0.185789961678, 0.031594382069, 0.116083882046]
    assert a.grad[0].tolist() == pytest.approx(first, abs=1e-12)


@BOTH
@pytest.mark.parametrize("block", [losses.BLOCK, 13], indirect=True)
def test_gradients_equal_finite_differences(block, objective):
    z1, z2 = (z.requires_grad_() for z in random_pair(4, 3, seed=2))
    assert torch.autograd.gradcheck(lambda a, b: objective(a, b, temperature=0.3), (z1, z2))


@pytest.mark.parametrize("block", [losses.BLOCK, 40], indirect=True)
@pytest.mark.parametrize("temperature", [0.05, 0.5])
def test_losses_equal_the_double_loop(block, temperature):
    z1, z2 = random_pair(7, 5, seed=3)
    for objective, decoupled in ((losses.nt_xent, False), (losses.dcl, True)):
        expected = by_definition(z1, z2, temperature, decoupled=decoupled)
        assert objective(z1, z2, temperature=temperature).item() == pytest.approx(expected, rel=1e-12)


def test_the_whole_batch_can_be_differentiated_twice_through_a_kept_graph():
    z1, z2 = (z.requires_grad_() for z in random_pair(5, 4, seed=4))
    loss = losses.nt_xent(z1, z2)
    first = torch.autograd.grad(loss, z1, retain_graph=True)[0]
    assert torch.equal(first, torch.autograd.grad(loss, z1)[0])


@given(n=st.integers(2, 9), d=st.integers(1, 6), seed=st.integers(0, 99), temperature=st.floats(0.05, 2.0))
@settings(max_examples=40, deadline=None)
def test_laws(n, d, seed, temperature):
    z1, z2 = random_pair(n, d, seed)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    scales = torch.linspace(0.1, 50, n, dtype=torch.float64)[:, None]
    for objective in (losses.nt_xent, losses.dcl):
        value = objective(z1, z2, temperature=temperature).item()
        same = pytest.approx(value, rel=1e-9, abs=1e-9)
        assert objective(z1[order], z2[order], temperature=temperature).item() == same
        assert objective(z2, z1, temperature=temperature).item() == same
        assert objective(z1 * scales, z2 * 3, temperature=temperature).item() == same
    assert (
        losses.nt_xent(z1, z2, temperature=temperature).item()
        >= losses.nt_xent_floor(n, temperature=temperature) - 1e-12
    )


@given(n=st.integers(2, 12), temperature=st.floats(0.02, 5.0))
@settings(max_examples=40, deadline=None)
def test_floor_is_reached_by_the_simplex(n, temperature):
    simplex = torch.eye(n, dtype=torch.float64) - 1 / n
    loss = losses.nt_xent(simplex, simplex, temperature=temperature).item()
    assert loss == pytest.approx(losses.nt_xent_floor(n, temperature=temperature), rel=1e-9, abs=1e-12)


def test_floor_at_256_images():
    expected = math.log(math.exp(2) + 510 * math.exp(-2 / 255)) - 2  # the bound as it is usually written
    assert losses.nt_xent_floor(256, temperature=0.5) == pytest.approx(expected, rel=1e-12)
    assert losses.nt_xent_floor(256, temperature=0.5) == pytest.approx(4.2411, abs=5e-5)
    assert losses.nt_xent_floor(256, temperature=1e-3) == 0


@pytest.mark.parametrize(
    ("n", "collapsed"), [(128, 5.541263545158), (256, 6.236369590204), (512, 6.930494765952), (4096, 9.010791269516)]
)
def test_collapse_costs_the_logarithm_of_all_others(n, collapsed):
    z = torch.ones(n, 2, dtype=torch.float64)
    assert losses.nt_xent(z, z, temperature=0.1).item() == pytest.approx(collapsed, abs=1e-10)
    assert losses.dcl(z, z, temperature=0.1).item() == pytest.approx(math.log(2 * n - 2), abs=1e-10)


@BOTH
def test_autocast_changes_nothing(objective):
    def value_and_gradient(autocast: bool) -> list[torch.Tensor]:
        z1, z2 = (z.requires_grad_() for z in random_pair(40, 16, seed=5, dtype=torch.float32))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = objective(z1, z2, temperature=0.05)
            loss.backward()
        return [loss.detach(), z1.grad, z2.grad]

    for inside, outside in zip(value_and_gradient(True), value_and_gradient(False), strict=True):
        assert torch.equal(inside, outside)


def test_bfloat16_projections_are_computed_in_float32():
    z1, z2 = (z.bfloat16() for z in random_pair(40, 16, seed=5))
    assert torch.equal(losses.nt_xent(z1, z2), losses.nt_xent(z1.float(), z2.float()))


MEMORY = """
import resource, torch
from edubba.core import losses
torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
z = [torch.randn(n, 128, generator=generator).requires_grad_() for n in (64, 64, 8192, 8192)]
losses.nt_xent(z[0], z[1]).backward()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
loss = losses.nt_xent(z[2], z[3], temperature=0.1)
loss.backward()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, loss.item())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_8192_images_forward_and_backward_take_less_than_150_mb():
    ran = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True)
    kib, loss = ran.stdout.split()
    assert int(kib) < 150_000  # the matrix of similarities alone is 1.07 GB
    assert 9.7 < float(loss) < 10.3  # log(16383) = 9.704, and more as random cosines spread by 1 / sqrt(128)


def nearest_by_definition(z1: torch.Tensor, z2: torch.Tensor) -> float:
    z = torch.nn.functional.normalize(torch.cat([z1, z2]), dim=1)
    n, hits = len(z1), 0
    for i in range(2 * n):
        distance = {k: (z[i] - z[k]).norm().item() for k in range(2 * n) if k != i}
        hits += min(distance, key=distance.get) == (i + n) % (2 * n)
    return hits / (2 * n)


@pytest.mark.parametrize("block", [losses.BLOCK, 70], indirect=True)
def test_contrastive_accuracy_is_the_share_of_nearest_positives(block):
    for noise in (0.3, 1.0, 3.0):
        z1, z2 = random_pair(15, 4, seed=6, noise=noise)
        expected = nearest_by_definition(z1, z2)
        assert losses.contrastive_accuracy(z1, z2).item() == pytest.approx(expected)
    assert 0 < expected < 1
    assert losses.contrastive_accuracy(z1, z1).item() == 1


def test_collapse_has_no_contrastive_accuracy():
    assert losses.contrastive_accuracy(torch.ones(8, 2), torch.ones(8, 2)).item() == 0


def test_alignment_uniformity_and_rank_of_known_matrices():
    assert losses.alignment(A, B).item() == pytest.approx(0.267990760228, abs=1e-12)
    assert losses.uniformity(A).item() == pytest.approx(-2.958772844248, abs=1e-12)
    assert losses.uniformity(B).item() == pytest.approx(-2.705223162255, abs=1e-12)
    assert losses.effective_rank(A).item() == pytest.approx(2.805939893290, abs=1e-11)


def test_uniformity_is_highest_when_all_rows_are_the_same():
    assert losses.uniformity(torch.ones(10, 3)).item() == pytest.approx(0, abs=1e-6)


def test_effective_rank_counts_equal_directions():
    assert losses.effective_rank(torch.eye(6).repeat(5, 1)).item() == pytest.approx(6, abs=1e-4)
    assert losses.effective_rank(torch.ones(20, 6)).item() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.0, -0.5, math.nan])
def test_temperature_must_be_positive(temperature):
    sentence = rf"^temperature is {temperature:g}; it must be positive, usually 0\.05 to 1$"
    for call in (
        lambda: losses.nt_xent(A, B, temperature=temperature),
        lambda: losses.dcl(A, B, temperature=temperature),
        lambda: losses.nt_xent_floor(3, temperature=temperature),
    ):
        with pytest.raises(UserError, match=sentence):
            call()


@pytest.mark.parametrize("n", [0, 1])
def test_a_batch_without_negatives_is_an_error(n):
    sentence = rf"^a batch of {n} image\(s\) has no negatives; a contrastive loss needs at least 2 images$"
    for call in (
        lambda: losses.nt_xent(A[:n], B[:n]),
        lambda: losses.dcl(A[:n], B[:n]),
        lambda: losses.contrastive_accuracy(A[:n], B[:n]),
        lambda: losses.nt_xent_floor(n, temperature=0.5),
    ):
        with pytest.raises(UserError, match=sentence):
            call()
