"""How a training ends before its end. Apart from :mod:`selfpose.steps`, so that a command line can
name these without loading PyTorch."""


class TrainingDiverged(RuntimeError):
    """A loss term became NaN or infinite; says which, and at which step."""


class TrainingStopped(BaseException):
    """The run was asked to stop; its checkpoint is written, and the same command continues it.

    Like ``KeyboardInterrupt`` it is no ``Exception``: nothing that mends errors may swallow it.
    """


__all__ = ["TrainingDiverged", "TrainingStopped"]
