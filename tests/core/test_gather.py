"""What several processes compute together equals what one computes alone. Run as a script, it is one of the processes."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from edubba.core import encoders, gather, losses
from edubba.core.errors import UserError

IMAGES = 6  # over all processes


def weights(rank: int) -> torch.Tensor:
    return torch.arange(24.0).view(12, 2).add(100 * rank).sin()


def views() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    first = torch.randn(IMAGES, 1, 12, 12, generator=generator, dtype=torch.float64)
    return first, first + 0.7 * torch.randn(first.shape, generator=generator, dtype=torch.float64)


def projections() -> tuple[torch.Tensor, torch.Tensor]:
    return tuple(v.flatten(1)[:, :5] for v in views())


def network() -> torch.nn.Module:
    encoder = encoders.build("small", channels=1, size=12)
    for residual in encoder.modules():  # else the bodies have no gradient at first
        if isinstance(residual, encoders.Residual):
            torch.nn.init.constant_(residual.body[-1].weight, 0.5)
    return torch.nn.Sequential(encoder, encoders.projection_head(512, out=8)).double()


def learn(net: torch.nn.Module, wrapped: torch.nn.Module, rows: slice) -> dict:
    x = torch.stack([v[rows] for v in views()]).requires_grad_()
    z1, z2 = wrapped(x.flatten(0, 1)).chunk(2)
    loss = losses.nt_xent(z1, z2, temperature=0.2)
    loss.backward()
    state = {f"state {k}": v.double() for k, v in net.state_dict().items()}
    return {"loss": loss.detach(), "x": x.grad} | {f"grad {k}": p.grad for k, p in net.named_parameters()} | state


def work(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=world)
    out = {"world": gather.world(), "rank": gather.rank()}

    x = torch.full((12 // world, 2), float(rank), requires_grad=True)
    everything = gather.all_gather(x)
    (everything * weights(rank)).sum().backward()
    out |= {"gathered": everything.detach(), "gathered grad": x.grad}

    n = IMAGES // world
    mine = slice(rank * n, rank * n + n)
    for objective in (losses.nt_xent, losses.dcl):
        for name, block in (("whole", losses.BLOCK), ("blocks", 25)):
            losses.BLOCK, usual = block, losses.BLOCK
            z1, z2 = (z[mine].clone().requires_grad_() for z in projections())
            loss = objective(z1, z2, temperature=0.3)
            loss.backward()
            out[f"{objective.__name__} {name}"] = {"loss": loss.detach(), "z1": z1.grad, "z2": z2.grad}
            losses.BLOCK = usual
    out["accuracy"] = losses.contrastive_accuracy(*(z[mine] for z in projections()))

    try:
        losses.nt_xent(torch.randn(2 + rank, 3), torch.randn(2 + rank, 3))
    except UserError as error:
        out["unequal"] = str(error)

    net = encoders.synchronise(network())
    out["network"] = learn(net, DistributedDataParallel(net), mine)
    uneven = encoders.synchronise(torch.nn.Sequential(torch.nn.BatchNorm1d(2, momentum=None))).double()
    bounds = [0, *(1 + i for i in range(1, world)), 12]
    rows = weights(0).double()[bounds[rank] : bounds[rank + 1]]
    out["uneven"] = {"y": uneven(rows).detach(), "state": uneven.state_dict()}
    torch.save(out, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module", params=[2, 3], ids=["two", "three"])
def processes(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    commands = [[sys.executable, __file__, str(rank), str(request.param), str(folder)] for rank in range(request.param)]
    running = [subprocess.Popen(c, stderr=subprocess.PIPE, text=True) for c in commands]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    return [torch.load(folder / f"{rank}.pt") for rank in range(request.param)]


def joined(processes: list[dict], *path: str) -> torch.Tensor:
    for name in path:
        processes = [p[name] for p in processes]
    return torch.cat(processes)


def mean(processes: list[dict], *path: str) -> torch.Tensor:
    for name in path:
        processes = [p[name] for p in processes]
    return torch.stack(processes).mean(0)


def assert_same(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_alone_a_process_is_the_first_of_one_and_gathering_changes_nothing():
    x = torch.zeros(2)
    assert (gather.rank(), gather.world()) == (0, 1)
    assert gather.all_gather(x) is x


def test_gathered_rows_come_in_the_order_of_ranks(processes):
    world = len(processes)
    assert [(p["rank"], p["world"]) for p in processes] == [(r, world) for r in range(world)]
    expected = torch.arange(float(world)).repeat_interleave(12 // world)[:, None].expand(-1, 2)
    for p in processes:
        assert torch.equal(p["gathered"], expected)


def test_gradient_of_gathered_rows_is_that_of_the_sum_of_all_losses(processes):
    total = sum(weights(rank) for rank in range(len(processes)))
    torch.testing.assert_close(joined(processes, "gathered grad"), total)


@pytest.mark.parametrize("blocks", ["whole", "blocks"])
@pytest.mark.parametrize("objective", [losses.nt_xent, losses.dcl])
def test_loss_and_gradient_equal_one_big_batch(processes, objective, blocks):
    world, name = len(processes), f"{objective.__name__} {blocks}"
    z1, z2 = (z.clone().requires_grad_() for z in projections())
    loss = objective(z1, z2, temperature=0.3)
    loss.backward()
    assert_same(mean(processes, name, "loss"), loss.detach())
    assert_same(joined(processes, name, "z1") / world, z1.grad)
    assert_same(joined(processes, name, "z2") / world, z2.grad)


def test_contrastive_accuracy_counts_everybodys_candidates(processes):
    alone = losses.contrastive_accuracy(*projections())
    assert 0 < alone < 1
    assert_same(mean(processes, "accuracy"), alone)


def test_unequal_batches_are_an_error_in_every_process(processes):
    counts = [2 + rank for rank in range(len(processes))]
    sentence = f"the processes bring {counts} images to one step; each must bring the same number"
    assert [p["unequal"] for p in processes] == [sentence] * len(processes)


def test_ddp_with_synchronised_batch_norm_equals_one_big_batch(processes):
    net = network()
    alone = learn(net, net, slice(None))
    assert_same(mean(processes, "network", "loss"), alone.pop("loss"))
    parts = [p["network"]["x"] for p in processes]
    assert_same(torch.cat(parts, dim=1) / len(processes), alone.pop("x"))
    for name, value in alone.items():  # parameters' gradients after averaging, weights, running statistics
        for p in processes:
            assert_same(p["network"][name], value)


def test_plain_batch_norm_would_have_shown_a_difference():
    net = network()
    first = learn(net, net, slice(0, 3))
    net = network()
    whole = learn(net, net, slice(None))
    assert not torch.allclose(first["state 0.1.running_mean"], whole["state 0.1.running_mean"], rtol=1e-3)


def test_synchronised_batch_norm_weighs_processes_by_their_rows(processes):
    norm = torch.nn.BatchNorm1d(2, momentum=None).double()
    assert_same(joined(processes, "uneven", "y"), norm(weights(0).double()).detach())
    for p in processes:
        assert_same(p["uneven"]["state"]["0.running_var"], norm.running_var)
        assert p["uneven"]["state"]["0.num_batches_tracked"] == 1


if __name__ == "__main__":
    work(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
