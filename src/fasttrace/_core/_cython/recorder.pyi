from fasttrace._core._python.span import Recorder as Recorder

__all__ = ["Recorder"]
