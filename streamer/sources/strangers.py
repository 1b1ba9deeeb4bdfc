"""Files that people try and that are no CSV: each is refused with what to do instead."""

import re

from streamer.sources.base import SourceError

QUERY = (
    "nvidia-smi --query-gpu=timestamp,index,uuid,name,utilization.gpu,temperature.gpu,"
    "power.draw,memory.used --format=csv -l 1"
)
BINARY = (
    (b"PK\x03\x04", "a zip archive or Excel workbook: save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as CSV"),
    (b"PAR1", "a Parquet file: export it as CSV"),
    (b"ARROW1", "an Arrow file: export it as CSV"),
    (b"SQLite f", "an SQLite database: export the table as CSV"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd: unpack it, or use gzip"),
    (b"BZh", "compressed with bzip2: unpack it, or use gzip"),
    (b"\xfd7zXZ", "compressed with xz: unpack it, or use gzip"),
    (b"\x04\x22\x4d\x18", "compressed with lz4: unpack it, or use gzip"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it"),
    (b"\x7fELF", "a program"),
    (b"%PDF", "a PDF"),
)
LINES_LOOKED_AT = 8
# What is found at the start of one of the first lines, and what the file then is.
TEXTS = (
    (rb"\+-{3}|.*\bNVIDIA-SMI \d", f"the table that nvidia-smi prints for people: use {QUERY}"),
    (rb"=+NVSMI LOG=+", f"the report of nvidia-smi -q: use {QUERY}"),
    (rb"#(\s*(Date|Time)[\s,]+)*\s*gpu\b", f"the output of nvidia-smi dmon or pmon: use {QUERY}"),
    (rb"#\s*(Entity|Id\b)", "the output of dcgmi dmon, which has no times: scrape dcgm-exporter"),
    (rb"# (HELP|TYPE) ", "Prometheus text: scrape the exporter instead of reading a file"),
    (rb"#(group|datatype|default),", "annotated CSV of InfluxDB: export it without annotations"),
    (rb"<\?xml|<nvidia_smi_log", f"XML: use {QUERY}"),
    (rb"<(!doctype|html)", "a web page"),
    (rb"[{\[]\s*(\"|\{|$)", "JSON: export it as CSV"),
    (rb"No devices were found", "a message of nvidia-smi that found no GPU"),
    (rb"NVIDIA-SMI has failed", "a message of nvidia-smi that could not reach the driver"),
)


def refuse_binary(magic: bytes) -> None:
    """Raise SourceError for a file that its first bytes give away."""
    for beginning, what in BINARY:
        if magic.startswith(beginning):
            raise SourceError(f"is {what}")


def refuse_text(lines: list[bytes]) -> None:
    """Raise SourceError for a text that its first lines give away."""
    for line in lines[:LINES_LOOKED_AT]:
        for pattern, what in TEXTS:
            if re.match(pattern, line.strip(), re.IGNORECASE):
                raise SourceError(f"is {what}")
