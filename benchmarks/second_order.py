"""The terms of ρ' for all pairs of a batch: the engine, nested transforms, and pair by pair.

The engine takes tangents through the paper's layers; nested transforms of torch.func are what it
takes of any other network, without its checks. All give ∇f_B'(H_A ∇f_B + H_B ∇f_A), the curvature
in r3, and g_AB, for f = V(s) of the paper's network. One pair takes a forward pass of its two
samples, their gradients, and a backward pass through the inner product of these. Some pairs are
timed and the rest assumed to take as long.

    python benchmarks/second_order.py --samples 32 --pairs 16 --rounds 5

Times are medians over rounds in which these alternate within one process, on one thread unless
asked otherwise.
"""

import statistics
import time
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from td_interference.gradients import second_order
from td_interference.gradients.functions import computing
from td_interference.gradients.second_order import PairProducts, pair_products
from td_interference.networks.atari import initialise, value_network


def value(outputs: Tensor) -> Tensor:
    """Return V(s), [N]."""
    return outputs[:, 0]


def one_pair(network: nn.Module, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Return g_AB and ∇f_B'(H_A ∇f_B + H_B ∇f_A) of two samples A, B by reverse mode twice."""
    parameters = list(network.parameters())
    f_a, f_b = value(network(frames))
    at_a = torch.autograd.grad(f_a, parameters, create_graph=True)
    at_b = torch.autograd.grad(f_b, parameters, create_graph=True)
    product = torch.stack([(x * y).sum() for x, y in zip(at_a, at_b, strict=True)]).sum()
    turned = torch.autograd.grad(product, parameters, materialize_grads=True)
    along = [(x * y.detach()).sum() for x, y in zip(turned, at_b, strict=True)]
    return product.detach(), torch.stack(along).sum()


def main(
    samples: Annotated[int, typer.Option(help="Samples, N; there are N² pairs.")] = 32,
    pairs: Annotated[int, typer.Option(help="Pairs timed one by one in each round.")] = 16,
    rounds: Annotated[int, typer.Option(help="Timed rounds, after one that is not.")] = 5,
    threads: Annotated[int, typer.Option(help="Threads of PyTorch.")] = 1,
    hidden: Annotated[int, typer.Option(help="Width n_h of the network; the paper's is 32.")] = 32,
) -> None:
    """Print the comparison as a table."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    network = initialise(value_network(hidden), generator)
    shape = (samples, 4, 84, 84)
    frames = torch.randint(256, shape, generator=generator, dtype=torch.uint8)
    chosen = torch.randint(samples, (pairs, 2), generator=generator)

    def engine() -> PairProducts:
        return pair_products(network, frames, value)

    def loop() -> Tensor:
        return torch.tensor([one_pair(network, frames[pair]) for pair in chosen])

    def transforms() -> Tensor:
        """Return ∇f_B'(H_A ∇f_B + H_B ∇f_A), from gradients that are there already."""
        with computing(frames.device):
            _, at_a, at_b = second_order.by_transforms(found.functions)
        return at_a + at_b

    found = engine()
    seconds: dict[str, list[float]] = {"engine": [], "transforms": [], "pair by pair": []}
    for number in range(rounds + 1):
        start = time.perf_counter()
        found = engine()
        engine_end = time.perf_counter()
        nested = transforms()
        transforms_end = time.perf_counter()
        expected = loop()
        end = time.perf_counter()
        if number:
            seconds["engine"].append(engine_end - start)
            seconds["transforms"].append(transforms_end - engine_end)
            seconds["pair by pair"].append((end - transforms_end) / pairs * samples**2)
    a, b = chosen.T
    curvature = found.curvature_at_a + found.curvature_at_b
    ours = torch.stack([found.gram[a, b], curvature[a, b]], 1)
    apart = ((curvature - nested).abs().max() / nested.abs().max()).item()
    deviation = ((ours - expected).abs().amax(0) / expected.abs().amax(0)).max()

    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    print(
        f"{samples} x {samples} pairs, {n_parameters:,} parameters, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {rounds} rounds"
    )
    print(f"{'method':<14}{'median':>10}{'fastest':>10}{'slowest':>10}")
    for method, times in seconds.items():
        columns = (statistics.median(times), min(times), max(times))
        print(f"{method:<14}" + "".join(f"{column:>8.2f} s" for column in columns))
    median = {method: statistics.median(times) for method, times in seconds.items()}
    print(f"transforms         {median['transforms'] / median['engine']:.1f} times the engine's")
    print(
        f"pair by pair       {median['pair by pair'] / median['engine']:.1f} times ({pairs} pairs, "
        "scaled to all)"
    )
    print(f"largest deviation  {deviation:.1e} of the largest entry, {apart:.1e} from transforms")


if __name__ == "__main__":
    typer.run(main)
