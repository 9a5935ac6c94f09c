"""The Gram engine against BackPACK: time, peak memory and agreement on the paper's Q network.

Both give the [N, N] inner products of per-sample gradients of max_a Q(s, a) from the same network
and frames. BackPACK's side is its best case: the products are summed parameter by parameter, so
its per-sample gradients are never copied into one [N, D] matrix.

    python benchmarks/gram_engine.py --samples 128 --rounds 7

Times are medians over rounds in which the methods alternate within one process, on one thread
unless asked otherwise: with more, other jobs on the machine stall the many short parallel regions
of the engine far more than BackPACK's few long ones. Memory is the growth of the resident set's
peak in a fresh process for each method (Linux).
"""

import copy
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from backpack import backpack, extend
from backpack.extensions import BatchGrad
from torch import Tensor, nn

from td_interference.gradients import gram, per_sample_gradients
from td_interference.networks.atari import initialise, q_network

N_ACTIONS = 9


class Problem(NamedTuple):
    """The paper's Q network with fresh weights, and random frames."""

    network: nn.Module
    frames: Tensor  # uint8 [N, 4, 84, 84]


def make_problem(n_samples: int, hidden: int) -> Problem:
    """Return the same problem for the same sizes."""
    generator = torch.Generator().manual_seed(0)
    network = initialise(q_network(N_ACTIONS, hidden), generator)
    shape = (n_samples, 4, 84, 84)
    return Problem(network, torch.randint(256, shape, generator=generator, dtype=torch.uint8))


def greedy_value(q: Tensor) -> Tensor:
    """Return max_a Q(s, a), [N], the function output of function interference."""
    return q.max(1).values


def engine(problem: Problem) -> Tensor:
    """Return the Gram matrix by this package."""
    return gram(per_sample_gradients(problem.network, problem.frames, greedy_value))


def backpack_gradients(
    network: nn.Module, inputs: Tensor, value: Callable[[Tensor], Tensor]
) -> list[Tensor]:
    """Return per-sample gradients by BackPACK's BatchGrad (Dangel et al., ICLR 2020).

    Args:
        network: Maps [N, ...] to [N, ...]; made of modules BackPACK knows. A copy is extended,
            since BackPACK leaves hooks and tensors on modules and parameters.
        inputs: [N, ...].
        value: Maps the outputs to one number per sample, [N].

    Returns:
        [N, D_p] for each trainable parameter p in the network's order, flattened.
    """
    extended = extend(copy.deepcopy(network))
    with torch.enable_grad(), backpack(BatchGrad()), warnings.catch_warnings():
        # Its hooks sit on modules whose inputs need no gradient; that is as it should be.
        warnings.filterwarnings("ignore", "Full backward hook is firing")
        value(extended(inputs)).sum().backward()
    trainable = [parameter for parameter in extended.parameters() if parameter.requires_grad]
    return [parameter.grad_batch.flatten(1) for parameter in trainable]


def by_backpack(problem: Problem) -> Tensor:
    """Return the Gram matrix from BackPACK's written-out per-sample gradients."""
    gradients = backpack_gradients(problem.network, problem.frames, greedy_value)
    total = torch.zeros(len(problem.frames), len(problem.frames))
    for gradient in gradients:
        total += gradient @ gradient.T
    return total


METHODS: dict[str, Callable[[Problem], Tensor]] = {"engine": engine, "backpack": by_backpack}


def peak_growth(method: str, n_samples: int, hidden: int) -> float:
    """Return by how much a method raises the peak of this process's resident set, MiB."""
    METHODS[method](make_problem(3, hidden))  # loads code that either method needs once
    problem = make_problem(n_samples, hidden)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = resident_kib("VmRSS")
    METHODS[method](problem)
    return (resident_kib("VmHWM") - before) / 1024


def resident_kib(field: str) -> int:
    """Return a field of /proc/self/status, KiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def in_fresh_process(method: str, n_samples: int, hidden: int) -> float:
    """Return `peak_growth` of a process that did nothing else."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(peak_growth, method, n_samples, hidden).result()


def main(
    samples: Annotated[int, typer.Option(help="Samples, N.")] = 128,
    rounds: Annotated[int, typer.Option(help="Timed rounds, after one that is not.")] = 7,
    threads: Annotated[int, typer.Option(help="Threads of PyTorch.")] = 1,
    hidden: Annotated[int, typer.Option(help="Width n_h of the network; the paper's is 32.")] = 32,
) -> None:
    """Print the comparison as a table."""
    torch.set_num_threads(threads)
    memory = {method: in_fresh_process(method, samples, hidden) for method in METHODS}

    problem = make_problem(samples, hidden)
    grams = {method: compute(problem) for method, compute in METHODS.items()}
    seconds: dict[str, list[float]] = {method: [] for method in METHODS}
    for _ in range(rounds):
        for method, compute in METHODS.items():
            start = time.perf_counter()
            compute(problem)
            seconds[method].append(time.perf_counter() - start)
    median = {method: statistics.median(times) for method, times in seconds.items()}
    deviation = (grams["engine"] - grams["backpack"]).abs().max() / grams["backpack"].abs().max()

    n_parameters = sum(parameter.numel() for parameter in problem.network.parameters())
    print(
        f"{samples} samples, {n_parameters:,} parameters, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads, {rounds} rounds"
    )
    print(f"{'method':<10}{'median':>10}{'fastest':>10}{'slowest':>10}{'peak memory':>14}")
    for method, times in seconds.items():
        columns = (median[method], min(times), max(times))
        milliseconds = "".join(f"{1e3 * column:>7.0f} ms" for column in columns)
        print(f"{method:<10}{milliseconds}{memory[method]:>10.0f} MiB")
    print(f"time ratio         {median['backpack'] / median['engine']:.1f}")
    print(f"memory ratio       {memory['backpack'] / memory['engine']:.1f}")
    print(f"largest deviation  {deviation:.1e} of the largest entry")


if __name__ == "__main__":
    typer.run(main)
