"""Files of recorded data: where they come from, and what is said where they are missing."""

import hashlib
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from common.reproduce.files import FileError


class MissingFile(FileError, FileNotFoundError):
    """A file is neither where it was looked for nor can it be downloaded."""


@dataclass(frozen=True)
class Source:
    """A public file.

    Attributes:
        file: Its name in TFDS's manual directory.
        url: Where it is downloaded from.
        sha256: Of its content, in hexadecimal.
        command: Downloads it into the directory that it is given as its last word.
    """

    file: str
    url: str
    sha256: str
    command: str = ""

    def find(self, manual: Path) -> Path | None:
        """The file in the directory `manual`, or `None`.

        Raises:
            FileError: if what lies there has another content.
        """
        path = manual / self.file
        if not path.is_file():
            return None
        self.check(path)
        return path

    def check(self, path: Path) -> None:
        """Compares the file in `path` with the checksum.

        Raises:
            FileError: if it has another one.
        """
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != self.sha256:
            raise FileError(
                f"{path} has the SHA-256 {found}, expected {self.sha256}, that of {self.url}. "
                "Delete it and get it again."
            )

    def how_to_get(self, manual: Path) -> str:
        """A sentence."""
        command = self.command or f"curl -L {self.url} -o {self.file} --create-dirs --output-dir"
        return f"Where there is a network, run `{command} {manual}`."

    def refuse(self, manual: Path, why: str = "can't be reached") -> NoReturn:
        """Raises the `MissingFile` that says which file is wanted, from where and where to."""
        raise MissingFile(
            f"{self.file} is not in {manual} and {self.url} {why}. {self.how_to_get(manual)}"
        )


def manual_directory(root: Path) -> Path:
    """Where TFDS looks for files that a user has put there, for the root directory of its data."""
    return root / "downloads" / "manual"


def reachable(url: str, seconds: float = 3.0) -> bool:
    """Whether a server answers at `url`, through the proxy if one is set, within `seconds`."""
    answered = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=seconds):
                answered.append(True)
        except urllib.error.HTTPError as error:
            answered.append(error.code < 400)
        except OSError:
            answered.append(False)

    # In a thread, as looking up a host's name heeds no timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered == [True]
