"""Matrices on the Hugging Face Hub, ``hf://owner/name/file.safetensors``, by huggingface_hub where it is installed."""

from __future__ import annotations

from pathlib import Path

from simmatrix.errors import SourceError

SCHEME = "hf://"
_KINDS = {"datasets": "dataset", "spaces": "space"}


def downloaded(address: str) -> Path:
    """Return where a file of the Hub is on this machine, after a download if it is not there yet.

    The address is ``hf://owner/name/file`` or ``hf://datasets/owner/name/file``; ``name@revision`` asks for a revision.
    """
    parts = address.removeprefix(SCHEME).split("/")
    kind = _KINDS.get(parts[0])
    parts = parts[1:] if kind else parts
    if len(parts) < 3 or not all(parts):
        raise SourceError(f"{address} is no address of the Hub; write hf://owner/name/file.safetensors")
    owner, name, *file = parts
    try:
        from huggingface_hub import hf_hub_download
    except ModuleNotFoundError:
        message = f'{address} needs huggingface_hub, which is not installed: pip install "simloss[hub]"'
        raise SourceError(message) from None
    name, _, revision = name.partition("@")
    try:
        found = hf_hub_download(f"{owner}/{name}", "/".join(file), repo_type=kind, revision=revision or None)
    except (OSError, ValueError) as error:  # theirs are children of these
        raise SourceError(f"{address} can't be downloaded: {str(error).strip().partition(chr(10))[0]}") from None
    return Path(found)
