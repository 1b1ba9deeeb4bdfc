"""The kinds of stores there are; the first is the usual one."""

KINDS = ("sqlite", "influxdb", "victoriametrics", "jsonl", "memory")
