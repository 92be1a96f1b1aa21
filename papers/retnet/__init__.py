"""RetNet (Sun et al., 2023): linear attention whose heads forget at fixed rates."""

from common.reproduce.lazy import lazy_exports

__all__ = ["RetNet", "Retention"]

__getattr__ = lazy_exports(__name__, Retention="layers", RetNet="model")
