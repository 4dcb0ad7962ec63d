"""Photographs of tablets as pixels, upright, with what is needed to know them again."""

import hashlib
import io
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from edubba.core import picture
from edubba.core.errors import UserError
from edubba.tablets.records import Photograph

MOST_PIXELS = 400_000_000
"""a photograph beyond this is refused: 1.2 GB of pixels"""


def read(path: str | Path) -> tuple[UInt8[np.ndarray, "h w 3"], Photograph]:
    """Pixels of a photograph, turned upright as its camera says, and its name, size and checksum.

    Raises
    ------
    UserError
        There is no such file, or it is no picture that can be read.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"there is no photograph {path}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: name one photograph") from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(content), formats=picture.KNOWN_FORMATS)
        if image.width * image.height > MOST_PIXELS:
            raise UserError(
                f"{path} has {image.width:,} x {image.height:,} pixels: shrink it to at most 400 megapixels"
            )
        turn = picture.UPRIGHT.get(picture.orientation(image))
        image = picture.eight_bits(image, 3)
        image = image if turn is None else image.transpose(turn)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        found = picture.skipped(path.name, error)
        raise UserError(f"{path} cannot be read as a photograph ({found.reason}: {found.detail})") from None
    pixels = np.asarray(image)
    digest = hashlib.sha256(content).hexdigest()
    return pixels, Photograph(file=path.name, width=image.width, height=image.height, sha256=digest)
