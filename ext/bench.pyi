from ext.cells import Bell
from ext.mapping import Mapping
from ext.rings import FrameRingReader, FrameRingWriter

def pump(
    writer: FrameRingWriter,
    cursor: Mapping,
    messages: list[bytes],
    *,
    count: int,
    window: int,
    batch: int = 64,
    bell: Bell | None = None,
) -> None: ...
def drain(reader: FrameRingReader, cursor: Mapping, *, count: int) -> int: ...
