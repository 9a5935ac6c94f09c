"""What every Snakemake script does around its one call: a log, threads, one-line errors."""

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from td_interference.errors import explained, one_line_errors, printable, words_of
from td_interference.jobs import preemption
from td_interference.jobs.records import remove_record, write_record

logger = logging.getLogger(__name__)


@contextmanager
def job(log_path: str, torch_threads: int = 0) -> Iterator[None]:
    """Run one job: log to `log_path` and the terminal, end with one line on a user's error.

    What is not the user's error is a defect and keeps its traceback. The job's record tells
    `td-interference status` of it until it is done, and for good where it fails.

    Asked to end by a signal, the job saves a resume state, if it has one, and ends; see
    `preemption`.

    Args:
        log_path: The rule's log file; written anew.
        torch_threads: Threads torch may use; 0 for jobs that do not use torch.

    Raises:
        SystemExit: Code 1, on an error that is the user's; 128 and its number after a signal.
    """
    Path(log_path).parent.mkdir(parents=True, exist_ok=True)
    # Not emptied: a process that does the job already, and is waited for, may be writing to it.
    Path(log_path).unlink(missing_ok=True)
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
    # That a library will change is for who maintains this program, which its tests tell.
    warnings.simplefilter("ignore", FutureWarning)
    if torch_threads:
        import torch  # seconds that jobs without it must not pay

        from td_interference.device import compute_exactly

        torch.set_num_threads(torch_threads)
        compute_exactly()
    write_record(log_path)
    with one_line_errors(), preemption.listening():
        try:
            yield
        except BaseException as error:
            line = explained(error)
            if line is not None:
                handlers[0].emit(logging.makeLogRecord({"msg": f"error: {line}"}))
            elif isinstance(error, Exception):
                logger.exception("this is a defect of td-interference; please report it")
            ended = "failed" if line or isinstance(error, Exception) else "stopped"
            why = printable(words_of(error))
            if isinstance(error, preemption.Preempted):
                why = f"{error}; the same command goes on from its resume state"
            write_record(log_path, ended, line or why)
            raise
    remove_record(log_path)
