"""Many texts to stems at once: every word is stemmed the first time that it is seen.

An index stems each word wherever it stands, which is most of its work; a library has few different words.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute

from edubba.papers import words

pc: Any = pyarrow.compute
"""its functions are made when it is imported, so that no checker knows them"""
MOST = 1_000_000
"""words that are kept with their stems"""
_SPACED = bytes(32 if i < 128 and not chr(i).isalnum() else i for i in range(256))
"""bytes of UTF-8 with a space for all that stands between words in ASCII"""
_NAMES = "(?i)" + words.COVID.pattern.replace("(?=[csn2hw])", "").replace("(?![a-z0-9])", "(?:[^a-z0-9]|$)")
"""for an engine of regular expressions that never looks around, and is ten times as fast; to it a letter beyond ASCII is no
part of a word"""


class Stemmer:
    """The stems of texts, as `analyze` finds them in one text.

    Parameters
    ----------
    analyze
        The stems of a text in their order. It parts words at least at all ASCII characters but letters and digits, and what it
        says of what lies between two of these depends on nothing else.
    """

    def __init__(self, analyze: Callable[[str], Sequence[str]]) -> None:
        self.analyze = analyze
        self.known: dict[str, str] = {}

    def stem(self, texts: Sequence[str]) -> list[str]:
        """For every text what `analyze(words.named(text))` says, joined by spaces; how often the disease is named may differ
        where a name touches a letter beyond ASCII."""
        if not texts:
            return []
        array = pa.array(texts, pa.string())
        _, offsets, data = array.buffers()
        spaced = b"" if data is None else data.to_pybytes().translate(_SPACED)
        parts = pc.ascii_split_whitespace(
            pa.StringArray.from_buffers(len(array), offsets, pa.py_buffer(spaced), offset=array.offset)
        )
        found = parts.values.dictionary_encode()
        if len(self.known) > MOST:
            self.known.clear()
        stems = pa.array([self._of(word) for word in found.dictionary.to_pylist()], pa.string())
        joined = pc.binary_join(pa.ListArray.from_arrays(parts.offsets, stems.take(found.indices)), " ").to_pylist()
        name = " ".join(self.analyze(words.NAME))
        times = pc.count_substring_regex(array, _NAMES).to_pylist()
        return [f"{text} {' '.join([name] * n)}" if n else text for text, n in zip(joined, times, strict=True)]

    def _of(self, word: str) -> str:
        stem = self.known.get(word)
        if stem is None:
            stem = self.known[word] = " ".join(self.analyze(word))
        return stem
