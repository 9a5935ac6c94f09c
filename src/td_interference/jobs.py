"""What every Snakemake script does around its one call: a log, threads, one-line errors."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from td_interference import preemption
from td_interference.errors import UserError, one_line_errors

logger = logging.getLogger(__name__)


@contextmanager
def job(log_path: str, torch_threads: int = 0) -> Iterator[None]:
    """Run one job: log to `log_path` and the terminal, end with one line on a `UserError`.

    On SIGTERM the job saves a resume state, if it has one, and ends; see `preemption`.

    Args:
        log_path: The rule's log file; written anew.
        torch_threads: Threads torch may use; 0 for jobs that do not use torch.

    Raises:
        SystemExit: Code 1, if the block raised a `UserError`; `preemption.EXIT_CODE` on SIGTERM.
    """
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.FileHandler(log_path, mode="w", encoding="utf-8"),
        logging.StreamHandler(sys.stderr),
    ]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=handlers
    )
    # Libraries speak up for warnings only; this package tells its progress.
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("td_interference").setLevel(logging.INFO)
    if torch_threads:
        import torch  # seconds that jobs without it must not pay

        from td_interference.device import compute_exactly

        torch.set_num_threads(torch_threads)
        compute_exactly()
    with one_line_errors(), preemption.listening():
        try:
            yield
        except UserError as error:
            handlers[0].emit(logging.makeLogRecord({"msg": f"error: {error}"}))
            raise
        except Exception:
            logger.exception("this is a defect of td-interference; please report it")
            raise
