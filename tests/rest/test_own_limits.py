"""Files of limits that cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.brokers.kite.limits import REST_LIMITS
from pipeline.core.errors import ConfigError
from pipeline.rest.governor import Governor
from pipeline.rest.own_limits import read_limits


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\n\xff\n", "line 2: found the byte 0xff"),
        (b"#" * (2**20 + 1), "over 1048576 bytes"),
        (None, "No such file"),
    ],
)
def test_a_file_that_is_no_text_is_refused_at_the_start(
    tmp_path: Path, content: bytes | None, told: str
) -> None:
    path = tmp_path / "limits.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        read_limits(path, REST_LIMITS)
    with pytest.raises(ConfigError, match=told):
        Governor(REST_LIMITS, limits_file=path)


def test_a_file_replaces_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "limits.toml"
    path.write_text('[rest]\nwait_s_max = { value = 5.0, source = "a test" }\n')
    assert read_limits(path, REST_LIMITS).wait_s_max == 5.0
