"""The project's errors: one base, each also the fitting builtin, so that callers may catch either."""

__all__ = [
    "AccessDeniedError",
    "ConfigError",
    "CorruptDataError",
    "CubeError",
    "DataError",
    "EncoderError",
    "LabelError",
    "LostNodesError",
    "LostWorkerError",
    "MissingDataError",
    "ReadTimeoutError",
    "RunBusyError",
    "RunMismatchError",
    "ScaleError",
    "SegclrError",
    "SegmentNotFoundError",
    "SkeletonError",
    "StageFailedError",
    "TrainingError",
    "UnfinishedError",
    "UnreachableError",
    "VolumeError",
]


class SegclrError(Exception):
    """Base of all errors this package raises on purpose: the message says what, received, allowed."""


class ConfigError(SegclrError, ValueError):
    """A configuration value is unknown, missing or out of range; the only error of exit status 2."""


class DataError(SegclrError, ValueError):
    """Input data contradict what they should be."""


class MissingDataError(SegclrError, FileNotFoundError):
    """A file, volume or table that a step needs is not there."""

    def __str__(self) -> str:
        """FileNotFoundError formats (errno, text) pairs; here the text is all there is."""
        return str(self.args[0]) if self.args else ""


class CorruptDataError(SegclrError, OSError):
    """A file is there but its content fails its checksum or cannot be decoded."""


class VolumeError(DataError):
    """A volume cannot be opened or read as asked."""


class AccessDeniedError(VolumeError, PermissionError):
    """A server or file system refuses to hand data out (HTTP 401, 403): never the same as absent."""


class UnreachableError(SegclrError, ConnectionError):
    """A store does not answer, or only with server errors, after all retries; it may answer later."""


class ReadTimeoutError(SegclrError, TimeoutError):
    """A read did not end within its deadline; it may, later."""


class ScaleError(VolumeError, LookupError):
    """No stored scale fits the voxel size that was asked for."""


class SkeletonError(DataError):
    """A skeleton is not a forest, or does not belong to its segment."""


class CubeError(DataError):
    """Cubes cannot be cut as asked."""


class EncoderError(DataError):
    """An encoder's files or input do not fit its architecture."""


class TrainingError(SegclrError, RuntimeError):
    """Training cannot go on: the loss is not finite, or the data cannot make a batch."""


class LabelError(DataError):
    """Labels do not fit the embeddings or the task."""


class SegmentNotFoundError(SegclrError, KeyError):
    """A segment id is not in the table or release."""

    def __str__(self) -> str:
        """KeyError shows the repr of its argument; the message is meant to be read."""
        return str(self.args[0]) if self.args else ""


class RunMismatchError(ConfigError):
    """An output folder was written with another configuration, encoder or input."""


class RunBusyError(SegclrError, BlockingIOError):
    """Another process works on the same run folder."""


class LostWorkerError(SegclrError, ConnectionError):
    """The process that worked on a part died: killed from outside, out of memory, or crashed."""


class StageFailedError(SegclrError, RuntimeError):
    """Some parts of a stage failed for good; the summary lists them."""


class LostNodesError(StageFailedError):
    """A run went to its end without the parts that were set aside; what was lost is listed."""


class UnfinishedError(SegclrError, InterruptedError):
    """Nothing is wrong, but work is left: the same command goes on; exit status 75."""
