"""`kerastune serve`: exported models behind TensorFlow Serving's REST API."""

import importlib.util
from pathlib import Path

from kerastune_llm.commands.console import console, logging_to
from kerastune_llm.errors import UserError
from kerastune_llm.serving.keys import read_keys
from kerastune_llm.serving.server import check_tls, open_socket, run_server
from kerastune_llm.serving.settings import LOOPBACK, Batching, Limits, Listening

EXTRA = ("fastapi", "uvicorn", "prometheus_client")


def serve(
    folder: str | Path,
    listening: Listening,
    *,
    batching: Batching,
    limits: Limits,
    api_key_file: Path | None = None,
) -> None:
    """Serve all models in a folder until SIGTERM or Ctrl-C.

    Args:
        folder: Holds `<name>/<version>/`, as `kerastune export` writes it.
        listening: Where, and the TLS files.
        batching: How requests are queued and put together.
        limits: What a single request may cost.
        api_key_file: Keys, one a line, one of which every request must carry.

    Raises:
        UserError: The extra `serve` is not installed, there is no model or one that is
            damaged, or no way to listen.
    """
    _require_extra()
    keys = read_keys(api_key_file) if api_key_file else ()
    check_tls(listening)
    with logging_to(None), open_socket(listening) as opened:
        from kerastune_llm.serving.app import make_app
        from kerastune_llm.serving.hosting import Host
        from kerastune_llm.serving.saved_models import load_folder
        from kerastune_llm.serving.telemetry import Metrics, log_requests

        metrics = Metrics()
        host = Host(load_folder(Path(folder)), batching, metrics)
        app = make_app(host, metrics, limits=limits, keys=keys)
        address = f"{listening.scheme}://{listening.host}:{opened.getsockname()[1]}"
        for model in host.models():
            path = f"/v1/models/{model.name}/versions/{model.version}"
            console.print(address + path, markup=False)
        if listening.host != LOOPBACK and not keys:
            console.print("warning: others can reach it, and no --api-key-file asks")
        log_requests()
        run_server(app, listening, opened, drain_seconds=limits.deadline_seconds)
        console.print("stopped")


def _require_extra() -> None:
    missing = [name for name in EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"Serving needs packages that are not installed: {', '.join(missing)}.",
            mend='pip install "kerastune_llm[serve]"',
        )
