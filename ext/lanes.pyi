from ext.cells import Word
from ext.mapping import Mapping

def crash_points() -> list[str]: ...
def arm_crash(name: str, passage: int = 1, signal_number: int = 9) -> bool: ...

class Lane:
    connection: int
    source_sequence: int
    instruments: int
    def skip(self, source_sequence: int) -> None: ...
    def frame(self) -> bytes | None: ...

class Decoder:
    has_work: bool
    def __init__(
        self,
        latest: Mapping,
        bell: Mapping,
        instance_bell: Mapping,
        status: Mapping,
        *,
        spin_ns: int = 0,
        nap_ns: int = 0,
        catch_up_age_ns: int = 100_000_000,
        catch_up_ticks: int = 4096,
        catch_up_interval_ns: int = 5_000_000,
        gated: bool = False,
        raw_only: bool = False,
    ) -> None: ...
    def add_lane(
        self,
        connection: int,
        *,
        frames: Mapping,
        ticks: Mapping,
        events: Mapping,
        assignment: Mapping,
        confirmed: Mapping,
    ) -> Lane: ...
    def remove_lane(self, connection: int) -> None: ...
    def watch(self, word: Word, version: int) -> None: ...
    def run(self, duration_ns: int, *, until_idle: bool = False) -> int: ...
