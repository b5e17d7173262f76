"""Configs as they are found, and everything that is not one."""

from __future__ import annotations

import json
import math
import os
import sys
import time

import pytest

from flopsight.errors import BadConfig, BadFile
from flopsight.models.sources.json_config import MAX_BYTES, parse_object, read_config


def test_reads_what_real_files_hold(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(
        b'\xef\xbb\xbf{"time_step_limit": [0.0, Infinity], "low": -Infinity, "nan": NaN, "n": null, "e": "\\u00e9"}'
    )
    config = read_config(path)
    assert config["time_step_limit"] == [0.0, math.inf]
    assert config["low"] == -math.inf
    assert math.isnan(config["nan"])
    assert config["e"] == "é"
    assert type(config["time_step_limit"][0]) is float


def test_depth_is_counted_outside_strings():
    assert parse_object(b'{"a": "' + b"[" * 1000 + b'"}', "x")["a"] == "[" * 1000
    assert parse_object(b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}", "x")
    with pytest.raises(BadConfig, match="nested deeper than 64"):
        parse_object(b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "x")


def test_an_unterminated_string_is_scanned_once():
    start = time.monotonic()
    with pytest.raises(BadFile):
        parse_object(b'{"' + b'\\"' * 1_000_000, "x")
    assert time.monotonic() - start < 5


HOSTILE = {
    "empty": (b"", BadFile, "empty"),
    "blank": (b" \n\t ", BadFile, "empty"),
    "truncated": (b'{"hidden_size": 40', BadFile, "truncated"),
    "truncated in a string": (b'{"hidden_si', BadFile, "not JSON|truncated"),
    "binary": (bytes(range(128, 256)), BadFile, "not UTF-8"),
    "utf-16": ('{"a": 1}'.encode("utf-16"), BadFile, "UTF-8"),
    "utf-32": ('{"a": 1}'.encode("utf-32"), BadFile, "UTF-8"),
    "latin-1": (b'{"a": "\xe9"}', BadFile, "byte 7"),
    "html": (b"<!DOCTYPE html>", BadFile, "not JSON"),
    "lfs pointer": (b"version https://git-lfs.github.com/spec/v1\n", BadFile, "not JSON"),
    "list": (b"[1]", BadConfig, "a list"),
    "number": (b"7", BadConfig, "a number"),
    "null": (b"null", BadConfig, "null"),
    "string": (b'"config"', BadConfig, "a string"),
    "two objects": (b"{}{}", BadFile, "not JSON"),
    "duplicate key": (b'{"a": {"hidden_size": 1, "hidden_size": 2}}', BadConfig, "'hidden_size' stands twice"),
    "huge int": (b'{"a": 1' + b"0" * 400 + b"}", BadConfig, "401 digits"),
    "int beyond the digit limit": (b'{"a": ' + b"9" * 5000 + b"}", BadConfig, "5000 digits"),
    "huge float": (b'{"a": 1e999}', BadConfig, "1e999"),
    "negative huge float": (b'{"a": -1e999}', BadConfig, "-1e999"),
    "deep list": (b"[" * 10**6, BadConfig, "nested deeper"),
    "deep dict": (b'{"a":' * 10**6, BadConfig, "nested deeper"),
    "lone surrogate": (b'{"a": "\\ud800"}', BadConfig, "half a pair"),
    "lone surrogate key": (b'{"\\udc00": 1}', BadConfig, "half a pair"),
    "many values": (b'{"a": [' + b"0," * 4_100_000 + b"0]}", BadConfig, "more than"),
    "control character": (b'{"a": "\x01"}', BadFile, "not JSON"),
    "trailing comma": (b'{"a": 1,}', BadFile, "not JSON"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile(case, tmp_path):
    data, error, words = HOSTILE[case]
    path = tmp_path / "config.json"
    path.write_bytes(data)
    with pytest.raises(error, match=words) as e:
        read_config(path)
    assert type(e.value) is error
    assert "config.json" in str(e.value)
    assert len(str(e.value)) < 700
    assert str(e.value).isprintable()


def test_too_large_is_refused_by_size_alone(tmp_path):
    path = tmp_path / "config.json"
    with path.open("wb") as f:
        f.truncate(MAX_BYTES + 1)
    with pytest.raises(BadFile, match=str(MAX_BYTES)):
        read_config(path)
    with pytest.raises(BadFile):
        parse_object(b" " * 11, "x", max_bytes=10)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes or device files")
def test_what_is_no_file_is_refused_without_opening(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, words in [
        (tmp_path, "a directory"),
        (tmp_path / "pipe", "a pipe"),
        ("/dev/zero", "a character device"),
        (tmp_path / "absent.json", "there is none"),
        (tmp_path / "loop", "could not be read"),
        ("nul\0byte", "could not be read"),
        ("x" * 5000, "could not be read"),
        (tmp_path / "\udc80", "there is none"),
    ]:
        with pytest.raises(BadFile, match=words) as e:
            read_config(path)
        str(e.value).encode()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root reads everything")
def test_unreadable(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{}")
    path.chmod(0)
    with pytest.raises(BadFile, match="may not be read"):
        read_config(path)


def test_agrees_with_the_standard_reader():
    value = {"a": [1, 2.5, None, True, 'x"\\/\n', {"b": {}}], "c": -0.0, "d": 10**38, "": []}
    for indent in (None, 2):
        assert parse_object(json.dumps(value, indent=indent).encode(), "x") == value
