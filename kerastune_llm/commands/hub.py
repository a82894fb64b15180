"""Writing to the Hugging Face hub: what can stand in the way, and how that is said."""

import contextlib
from collections.abc import Iterator

import requests
from huggingface_hub import HfApi, constants, get_token
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from kerastune_llm.errors import UserError

LOG_IN = (
    "`hf auth login`, or the environment variable HF_TOKEN; a token that may write is "
    "made at https://huggingface.co/settings/tokens"
)


def check_repository(name: str) -> None:
    """Refuse what can be no repository's name.

    Raises:
        UserError: It is not `user/name`.
    """
    try:
        validate_repo_id(name)
        is_whole = name.count("/") == 1
    except HFValidationError:
        is_whole = False
    if not is_whole:
        raise UserError(
            "This is no repository's name.",
            accepted="user/name, of letters, digits, -, _ and .",
            received=name,
            mend="--repo USER/NAME",
        )


def check_way(repository: str) -> None:
    """Refuse before any work is done where nothing could be sent.

    Raises:
        UserError: HF_HUB_OFFLINE is set, there is no token or a wrong one, or no hub.
    """
    if constants.HF_HUB_OFFLINE:
        raise UserError(
            "HF_HUB_OFFLINE forbids asking the hub.",
            mend="unset HF_HUB_OFFLINE, or --dry-run to see what would go",
        )
    if get_token() is None:
        raise UserError("There is no token for the hub.", mend=LOG_IN)
    with hub_errors(repository):
        HfApi().whoami()


def check_private(api: HfApi, repository: str) -> None:
    """Refuse to write to a public repository what was to be private."""
    if not api.repo_info(repository).private:
        raise UserError(
            "The repository exists and is public; nothing was sent.",
            received=f"--private, {repository}",
            mend="make it private in its settings on the hub, or another --repo",
        )


@contextlib.contextmanager
def hub_errors(repository: str) -> Iterator[None]:
    """Errors of the hub and of the way to it as one message each."""
    try:
        yield
    except UserError:
        raise
    except (requests.RequestException, OfflineModeIsEnabled) as error:
        raise _explained(error, repository) from error
    except RuntimeError as error:
        # What is wrong with one of several uploads comes wrapped.
        if not isinstance(error.__cause__, requests.RequestException):
            raise
        raise _explained(error.__cause__, repository) from error
    except ValueError as error:  # What it raises for a card with a wrong front matter.
        raise UserError(f"The hub refuses: {error}", received=repository) from error


def _explained(error: Exception, repository: str) -> UserError:
    response = getattr(error, "response", None)
    if response is None:
        return UserError(
            f"The hub cannot be reached ({type(error).__name__}).",
            received=constants.ENDPOINT,
            mend="check the connection, then the same command again",
        )
    if response.status_code == 401:
        return UserError("The hub does not accept the token.", mend=LOG_IN)
    if response.status_code in (403, 404):
        return UserError(
            "The token may not write to this repository.",
            accepted="a repository of yours or of an organization of yours, and a "
            "token that may write",
            received=repository,
            mend="`hf auth whoami` says who you are there",
        )
    return UserError(
        f"The hub refuses: {_first_line(error)}",
        received=repository,
        mend="if it is the hub's own trouble, the same command again",
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().split("\n")), "")[:300]
