"""`kerastune serve`: exported models behind TensorFlow Serving's REST API."""

import contextlib
import gc
import importlib.util
import logging
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from kerastune_llm.commands.console import console, logging_to
from kerastune_llm.errors import UserError
from kerastune_llm.remote import here, is_remote
from kerastune_llm.rundir import RunDir
from kerastune_llm.serving.keys import read_keys
from kerastune_llm.serving.server import check_tls, open_socket, run_server
from kerastune_llm.serving.settings import LOOPBACK, Batching, Limits, Listening

logger = logging.getLogger(__name__)

EXTRA = ("fastapi", "uvicorn", "prometheus_client")
POLL_SECONDS = 2.0


def serve(
    folder: str | Path,
    listening: Listening,
    *,
    batching: Batching,
    limits: Limits,
    api_key_file: Path | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> None:
    """Serve all models in a folder until SIGTERM or Ctrl-C.

    Args:
        folder: Holds `<name>/<version>/`, as `kerastune export` writes it; or a run
            directory, whose model is exported to a temporary folder first.
        listening: Where, and the TLS files.
        batching: How requests are queued and put together.
        limits: What a single request may cost.
        api_key_file: Keys, one a line, one of which every request must carry.
        poll_seconds: How often the folder is looked at for versions that came or
            went; 0: never.

    Raises:
        UserError: The extra `serve` is not installed, there is no model or one that is
            damaged, or no way to listen.
    """
    _require_extra()
    keys = read_keys(api_key_file) if api_key_file else ()
    check_tls(listening)
    with logging_to(None), open_socket(listening) as opened, _models(folder) as models:
        from kerastune_llm.serving.app import make_app
        from kerastune_llm.serving.hosting import Host
        from kerastune_llm.serving.saved_models import load_folder
        from kerastune_llm.serving.telemetry import Metrics, log_requests
        from kerastune_llm.serving.watching import watching

        metrics = Metrics()
        host = Host(load_folder(models), batching, metrics)
        app = make_app(host, metrics, limits=limits, keys=keys)
        address = f"{listening.scheme}://{listening.host}:{opened.getsockname()[1]}"
        for model in host.models():
            path = f"/v1/models/{model.name}/versions/{model.version}"
            console.print(address + path, markup=False)
        if listening.host != LOOPBACK and not keys:
            console.print("warning: others can reach it, and no --api-key-file asks")
        log_requests()
        with watching(models, host, poll_seconds):
            run_server(app, listening, opened, drain_seconds=limits.deadline_seconds)
        console.print("stopped")


@contextlib.contextmanager
def _models(folder: str | Path) -> Iterator[Path]:
    """The folder of exported models: itself, or a temporary one of a run's model."""
    place = folder if is_remote(folder) else Path(folder).expanduser()
    if not RunDir(place).refresh(without=("checkpoints", "tensorboard")).is_begun:
        yield here(place)
        return
    with _ended_by_sigterm(), tempfile.TemporaryDirectory(prefix="kerastune-") as own:
        logger.info("exporting %s to a temporary folder first", place)
        _export(place, Path(own))
        gc.collect()  # the model that was exported; its SavedModel is loaded next
        yield Path(own)


def _export(run: str | Path, folder: Path) -> None:
    from kerastune_llm.commands.export_form import ServingOptions
    from kerastune_llm.commands.finished_run import open_run
    from kerastune_llm.commands.saved import load_trained
    from kerastune_llm.registry import EXPORTS

    run_dir, job = open_run(run)
    model = load_trained(run_dir, job)
    EXPORTS.get("savedmodel").write(run_dir, job, model, folder, ServingOptions())


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the process the ordinary way, so that its files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python delivers no signals to other threads.
        return

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _require_extra() -> None:
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Serving needs packages that are not installed: {', '.join(missing)}.",
            mend='pip install "kerastune_llm[serve]"',
        )
