"""Text of the corpus: cut, split into trained and held out, packed small, and read back.

`pack` reads `NAME.txt.zst` files (documents end with a line `<|endoftext|>`) and writes
`NAME.train.txt.xz` and `NAME.held.txt.xz`. The held-out part is the end of a file and is cut
off before anything else happens, so that no later step can train on it.
"""

from __future__ import annotations

import lzma
import subprocess
from dataclasses import dataclass
from pathlib import Path

DOCUMENT_END = "<|endoftext|>"


@dataclass(frozen=True)
class Source:
    """One file of the corpus and what of it is used."""

    name: str
    weight: float
    """Share of the plain-text samples."""
    bytes_max: int
    log: bool = False
    trained: bool = True
    """False: a kind of text that only evaluation sees."""


SOURCES = (
    Source("wikipedia", 0.22, 60_000_000),
    Source("books", 0.26, 66_000_000),
    Source("dialogue_sgd", 0.12, 16_000_000),
    Source("dialogue_taskmaster", 0.01, 800_000),
    Source("dialogue_irc", 0.05, 9_000_000),
    Source("docs", 0.04, 9_000_000),
    Source("logs_rootly", 0.08, 6_400_000, log=True),
    Source("logs_windows_events_flat", 0.10, 14_000_000, log=True),
    Source("logs_zeek", 0.10, 14_000_000, log=True),
    Source("logs_elastic", 0.0, 5_000_000, log=True, trained=False),
)
HELD_BYTES = 1_200_000
"""Bytes at the end of each file that are held out (at most 8% of a file)."""


def _read_zst(path: Path) -> bytes:
    command = ["zstd", "-dc", "--long=27", str(path)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def split(raw: bytes, source: Source) -> tuple[bytes, bytes]:
    """Cuts one file into (train, held out) at line ends; the train part is thinned evenly."""
    held = min(HELD_BYTES, len(raw) * 8 // 100)
    cut = raw.find(b"\n", len(raw) - held) + 1
    train, tail = raw[:cut], raw[cut:]
    if not source.trained:
        return b"", thin(raw, source.bytes_max)
    return thin(train, source.bytes_max), tail


def thin(data: bytes, bytes_max: int, pieces: int = 64) -> bytes:
    """Whole lines from pieces that are spread evenly over a file."""
    if len(data) <= bytes_max:
        return data
    piece, stride, kept = bytes_max // pieces, len(data) // pieces, []
    for i in range(pieces):
        start = 0 if i == 0 else data.find(b"\n", i * stride) + 1
        kept.append(data[start : data.find(b"\n", start + piece) + 1])
    return b"".join(kept)


def pack(corpus: Path, out: Path, sources: tuple[Source, ...] = SOURCES) -> None:
    """Writes the packed train and held-out files of every source."""
    out.mkdir(parents=True, exist_ok=True)
    for source in sources:
        train, held = split(_read_zst(corpus / f"{source.name}.txt.zst"), source)
        for part, data in (("train", train), ("held", held)):
            if data:
                (out / f"{source.name}.{part}.txt.xz").write_bytes(lzma.compress(data, preset=6))
        print(f"{source.name}: {len(train)} bytes trained, {len(held)} held out", flush=True)


def read(folder: Path, name: str, part: str = "train", bytes_max: int | None = None) -> str:
    """Reads one packed part as text, document marks removed."""
    with lzma.open(folder / f"{name}.{part}.txt.xz") as file:
        data = file.read() if bytes_max is None else file.read(bytes_max)
    return data.decode("utf-8", errors="replace").replace(DOCUMENT_END + "\n", "")


def names(trained: bool = True) -> list[str]:
    """Names of the sources that are trained on (or of those that only evaluation sees)."""
    return [s.name for s in SOURCES if s.trained == trained]
