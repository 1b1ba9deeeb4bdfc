"""The services of a stack that `telemetry up` runs from a directory."""

from pathlib import Path

from cli.doctor.examine import Patient
from common.lock import DirectoryTakenError, lock_directory, unlock


def is_running(directory: Path) -> bool:
    """Whether a supervisor has the directory now."""
    try:
        unlock(lock_directory(directory))
    except DirectoryTakenError:
        return True
    return False


def patients_of(directory: Path, queue_url: str) -> list[Patient]:
    """Each service that has left something there; the queue is asked only while it runs."""
    secrets = directory / "secrets"
    token = (secrets / "service-token").read_text(encoding="utf-8").strip()
    running = is_running(directory)
    store = {"SQLITE_PATH": str(directory / "telemetry.db")}

    def patient(service: str, **given: str) -> Patient:
        return Patient(service, {"SERVICE_TOKEN": token, **given}, listens=False, queue=running)

    brokers = [
        patient("broker", DATA_DIR=str(path), BROKER_NAME=path.name)
        for path in sorted(directory.glob("broker-*"))
    ]
    collector = patient(
        "collector", DATA_DIR=str(directory / "collector"), QUEUE_URL=queue_url, **store
    )
    api = patient("api", API_KEYS_FILE=str(secrets / "api-keys.json"), **store)
    return [*brokers, collector, api]
