"""Every error that the pipeline raises on purpose. Floor 1.

    PipelineError
    ├── ConfigError            the file says something wrong; lists every problem at once   stop
    ├── LayoutMismatch         shared memory of another build                               stop
    ├── SegmentError           a segment or its directory cannot be used                    stop
    │   └── ShmFull            shared memory has no room for the plan                       stop
    ├── PortTaken              a port to listen on is not to be had                         stop
    ├── CpuLatencyRefused      idle processors cannot be kept from halting                  stop
    ├── InstanceError
    │   ├── InstanceNotFound   names those that run                                         retry
    │   ├── InstanceRunning    with its pid                                                 stop
    │   └── InstanceEnded      it ended while we were attached                              retry
    ├── ProtocolError
    │   ├── LocalProtocolError   we misused the protocol                                    restart
    │   └── RemoteProtocolError  the peer broke it                                          retry
    ├── UpstreamError          the broker cannot be reached, or asked us to wait            retry
    │   └── RateLimited        a call's turn would come too late, or the broker said 429    retry
    ├── RequestError           the broker understood a REST call and refused it             stop
    ├── AuthError              the token was rejected                                       stop
    ├── SecretError            a secret's reference cannot be read                          stop
    ├── InstrumentError
    │   ├── BadForm            what was written names no instrument; a ValueError, too      stop
    │   ├── UnknownInstruments not in the list; names near ones; a LookupError, too         stop
    │   ├── NoInstruments      there is no list yet                                         stop
    │   └── BadInstruments     a list that cannot be used, or may not replace another       stop
    ├── CapacityError          more was asked for than the broker or a table can hold       stop
    ├── ControlError
    │   ├── ControlUnavailable   the control process does not answer, or not yet            retry
    │   └── RequestRefused       it refused a request, and nothing changed                  stop
    ├── Overrun                a reader was lapped and asked to be told                     retry
    ├── ProcessError
    │   ├── Crashed            died by its own fault                                        restart
    │   └── Stalled            gave no sign of life                                         restart
    ├── NotConnected           a KiteTicker was used before connect()                       stop
    ├── NotBuilt               compiled modules of other sources; an ImportError, too       stop
    ├── MissingExtra           an optional package is missing; an ImportError, too          stop
    └── NotSupportedYet        names what to use instead                                    stop

The last column is each class's `remedy`: what a supervising process does about it. `exit_code`
is the code of a command that ends with it. In the data plane errors are counters, not exceptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, ClassVar, NamedTuple

from pipeline.core.exit_codes import ExitCode


class Remedy(Enum):
    """What to do about an error: the same again, a fresh process, or nothing without a person."""

    RETRY = "retry"
    RESTART = "restart"
    STOP = "stop"


class PipelineError(Exception):
    """The root; its text is one paragraph that a person can act on."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED
    remedy: ClassVar[Remedy] = Remedy.STOP

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses have constructors of their own, which Exception's pickling does not know.
        return _rebuild, (type(self), self.args, dict(self.__dict__))


def _rebuild(
    cls: type[PipelineError], args: tuple[object, ...], state: dict[str, object]
) -> PipelineError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(state)
    return error


class Problem(NamedTuple):
    """One thing wrong in a config: where, what was found, what is allowed, what to do."""

    path: str
    found: str
    allowed: str
    hint: str = ""

    def __str__(self) -> str:
        text = f"{self.path}: found {self.found}; expected {self.allowed}"
        return f"{text} ({self.hint})" if self.hint else text


class ConfigError(PipelineError):
    """Every problem of a config file, at once."""

    exit_code = ExitCode.CONFIG

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"{source}: {count} {'problem' if count == 1 else 'problems'}"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


class LayoutMismatch(PipelineError):
    """A segment was written by a build with another layout; nothing of it was mapped."""


class SegmentError(PipelineError):
    """A segment or its directory cannot be created or used."""

    exit_code = ExitCode.CANNOT_CREATE


class ShmFull(SegmentError):
    """Shared memory has no room; the text names the sizes and the key to lower."""

    def __init__(self, *, directory: str, needed_bytes: int, free_bytes: int, key: str) -> None:
        self.directory = directory
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes
        self.key = key
        super().__init__(
            f"{directory} has {free_bytes / 2**20:.1f} MiB free and the plan needs "
            f"{needed_bytes / 2**20:.1f} MiB: lower {key}, or give it more room "
            "(container: --shm-size; host: mount -o remount,size=256m /dev/shm)"
        )


class PortTaken(PipelineError):
    """A port to listen on is in use, or not ours to take."""

    exit_code = ExitCode.CANNOT_CREATE


class CpuLatencyRefused(PipelineError):
    """Idle processors cannot be kept from halting: what was `found`, and what would `mend` it."""

    def __init__(self, found: str, mend: str) -> None:
        self.found = found
        self.mend = mend
        super().__init__(f"{found}; {mend}")


class InstanceError(PipelineError):
    """Something about a named instance."""


class InstanceNotFound(InstanceError):
    """No instance of that name; the text names those that run, and those that crashed.

    `option` is what commands have to be given besides a name to find instances where they are.
    """

    remedy = Remedy.RETRY

    def __init__(
        self, name: str, running: Sequence[str] = (), crashed: Sequence[str] = (), option: str = ""
    ) -> None:
        self.name = name
        self.running = tuple(running)
        self.crashed = tuple(crashed)
        start = "python -m pipeline run --config FILE"
        if name in self.crashed:
            super().__init__(
                f"no instance {name!r} runs, it has crashed: {_look_and_clean(name, option)}, "
                f"and `{start}` starts it anew"
            )
        elif name in self.running:
            super().__init__(
                f"instance {name!r} is still starting: attach(..., wait_s=10) waits for it"
            )
        else:
            left = f"; crashed: {', '.join(self.crashed)}" if self.crashed else ""
            super().__init__(
                f"no instance {name!r} runs; running: {', '.join(self.running) or 'none'}{left}. "
                f"Start one with: {start}"
            )


def _look_and_clean(name: str, option: str) -> str:
    return (
        f"`python -m pipeline stat {name}{option}` shows how it was, "
        f"`python -m pipeline clean {name}{option}` removes what it left"
    )


class InstanceRunning(InstanceError):
    """The instance runs already."""

    exit_code = ExitCode.CANNOT_CREATE

    def __init__(self, name: str, pid: int) -> None:
        self.name = name
        self.pid = pid
        who = f"as process {pid}: stop it (kill {pid})" if pid else "by another build: stop it"
        super().__init__(
            f"instance {name!r} runs already, {who}, or give this one another [instance] name"
        )


class InstanceEnded(InstanceError):
    """The instance ended while we were attached; it `crashed` if nobody ended it in good order.

    `option` is as for InstanceNotFound.
    """

    remedy = Remedy.RETRY

    def __init__(self, name: str, *, crashed: bool = False, option: str = "") -> None:
        self.name = name
        self.crashed = crashed
        super().__init__(
            f"instance {name!r} has crashed: {_look_and_clean(name, option)}"
            if crashed
            else f"instance {name!r} has ended"
        )


class ProtocolError(PipelineError):
    """A protocol was broken, by either side."""


class LocalProtocolError(ProtocolError):
    """We misused the protocol: a bug of ours."""

    remedy = Remedy.RESTART


class RemoteProtocolError(ProtocolError):
    """The peer broke the protocol."""

    exit_code = ExitCode.UNAVAILABLE
    remedy = Remedy.RETRY


class UpstreamError(PipelineError):
    """The broker cannot be reached, or asked us to wait."""

    exit_code = ExitCode.UNAVAILABLE
    remedy = Remedy.RETRY


class RateLimited(UpstreamError):
    """A REST call did not go, or got 429; `retry_after_s` says when it may be tried again."""

    exit_code = ExitCode.TEMPORARY

    def __init__(self, text: str, *, endpoint: str, retry_after_s: float) -> None:
        self.endpoint = endpoint
        self.retry_after_s = retry_after_s
        super().__init__(text)


class RequestError(PipelineError):
    """The broker understood a REST call and refused it: another try gets the same answer."""


class AuthError(PipelineError):
    """The token was rejected; no handshake until another one is there."""

    exit_code = ExitCode.AUTH


class SecretError(PipelineError):
    """A secret's reference cannot be read; the text never holds the secret."""

    exit_code = ExitCode.CONFIG


class InstrumentError(PipelineError):
    """Something about an instrument or the list of them."""


class BadForm(InstrumentError, ValueError):
    """What was written is in no form that names instruments."""

    exit_code = ExitCode.USAGE

    def __init__(self, text: object, found: str, allowed: str) -> None:
        self.text = text
        self.found = found
        self.allowed = allowed
        super().__init__(f"{_shortened(text)}: {self.hint}")

    @property
    def hint(self) -> str:
        """What was found and what is allowed, without the text itself."""
        return f"found {self.found}; expected {self.allowed}"


class UnknownInstruments(InstrumentError, LookupError):
    """There are no such instruments: `unknown` has each as it was written, with near names."""

    exit_code = ExitCode.USAGE

    def __init__(self, text: str, unknown: Mapping[str, Sequence[str]]) -> None:
        self.unknown = {form: tuple(near) for form, near in unknown.items()}
        super().__init__(text)


class NoInstruments(InstrumentError):
    """There is no instrument list yet; the text has the command that makes one."""


class BadInstruments(InstrumentError):
    """An instrument list cannot be used, or may not replace the one that is there."""


def _shortened(value: object, length_max: int = 80) -> str:
    text = ascii(value) if isinstance(value, str) else type(value).__name__
    if isinstance(value, int) and value.bit_length() < 200:
        text = str(value)
    return text if len(text) <= length_max else text[: length_max - 3] + "..."


class CapacityError(PipelineError):
    """More was asked for than the broker or a table can hold.

    Of a request to a pool it has the numbers: how many instruments were `requested`, how many
    were `accepted`, for how many there is room (`available`). They are 0 where nothing was said.
    """

    exit_code = ExitCode.CONFIG

    def __init__(
        self, text: str, *, requested: int = 0, accepted: int = 0, available: int = 0
    ) -> None:
        self.requested = requested
        self.accepted = accepted
        self.available = available
        super().__init__(text)


class ControlError(PipelineError):
    """Something about a request to an instance's control process."""


class ControlUnavailable(ControlError):
    """The control process does not answer; what is streamed goes on without it."""

    exit_code = ExitCode.TEMPORARY
    remedy = Remedy.RETRY


class RequestRefused(ControlError):
    """A request was refused and nothing changed; `code` is one word, `detail` what belongs to it.

    The codes are those of `pipeline.core.control.Problem`.
    """

    def __init__(self, text: str, *, code: str, detail: Mapping[str, Any]) -> None:
        self.code = code
        self.detail = dict(detail)
        super().__init__(text)


class Overrun(PipelineError):
    """A reader with policy `raise` was lapped; `lost` ticks of `connection` are gone."""

    remedy = Remedy.RETRY

    def __init__(self, *, connection: int, lost: int) -> None:
        self.connection = connection
        self.lost = lost
        super().__init__(
            f"this reader was lapped: {lost} ticks of connection {connection} are gone; "
            'read faster, raise [rings] tick_records, or attach with policy "resume" or "skip"'
        )


class ProcessError(PipelineError):
    """Something about one of our processes."""

    remedy = Remedy.RESTART

    def __init__(self, role: str, pid: int, detail: str) -> None:
        self.role = role
        self.pid = pid
        self.detail = detail
        super().__init__(f"{role} (process {pid}): {detail}")


class Crashed(ProcessError):
    """Died by its own fault."""


class Stalled(ProcessError):
    """Gave no sign of life."""


class NotConnected(PipelineError, AttributeError):
    """A KiteTicker was used before connect(); kiteconnect raises AttributeError there."""


class NotBuilt(PipelineError, ImportError):
    """The compiled modules are of other sources; the text says how to build them."""


class MissingExtra(PipelineError, ImportError):
    """An optional package is not installed; the text has the command that installs it."""

    def __init__(self, package: str, *, extra: str, needed_by: str, command: str) -> None:
        self.package = package
        self.extra = extra
        super().__init__(
            f"{needed_by} needs the package {package}, which is not installed: {command}"
        )


class NotSupportedYet(PipelineError):
    """A feature that a later version brings; `instead` says what to use today."""

    exit_code = ExitCode.USAGE

    def __init__(self, feature: str, instead: str) -> None:
        self.feature = feature
        self.instead = instead
        super().__init__(f"{feature} is not supported yet: {instead}")
