"""Echo state networks (Jaeger, 2001): a recurrence that nothing trains, and a linear readout."""

from common.reproduce.lazy import lazy_exports

__all__ = ["EchoStateNetwork", "Reservoir"]

__getattr__ = lazy_exports(__name__, Reservoir="layers", EchoStateNetwork="model")
