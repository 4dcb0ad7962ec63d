"""Files that are whole or absent, and where edubba keeps its own."""

import os
import re
import secrets
import zipfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import platformdirs


def home() -> Path:
    """Folder of caches and the user's catalogue: EDUBBA_HOME, or the platform's cache folder."""
    return Path(os.environ.get("EDUBBA_HOME") or platformdirs.user_cache_dir("edubba"))


PART = re.compile(r"\..+\.\d+\.[0-9a-f]{8}\.part")
"""names of `replacing`'s temporary files"""


@contextmanager
def replacing(path: Path) -> Generator[Path]:
    """A temporary sibling to write to; at the end it takes the place of `path` in one step, on disk before it is seen."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Delete what processes that were killed inside `replacing` left in a folder and below; nobody may be writing there."""
    for path in Path(folder).rglob(".*.part"):
        if PART.fullmatch(path.name):
            path.unlink()


def write(path: Path, content: str | bytes) -> Path:
    """Write a whole file in one step."""
    with replacing(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write arrays by any names (numpy's own `savez` cannot take `file`), compressed, nothing pickled, in one step."""
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays.items():
            info = zipfile.ZipInfo(f"{name}.npy")
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
    return Path(path)
