from fasttrace._core._python.recorder import Recorder as Recorder

__all__ = ["Recorder"]
