"""The command, which needs the extra `parquet`."""

import sys

from cli.export.options import ExportOptions

EXIT_MISSING = 2
NEEDED = "--format parquet needs pyarrow: pip install telemetry-stack[parquet]"


def run_export(options: ExportOptions) -> int:
    """Export; return the exit code."""
    try:
        from cli.export.run import export_parquet
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        sys.stderr.write(
            "error: --format parquet needs pyarrow: pip install telemetry-stack[parquet]\n"
        )
        return EXIT_MISSING
    return export_parquet(options)
