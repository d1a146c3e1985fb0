"""Job yard: the duty of jobs on a yard, with buckets in a folder that can be away."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mailstead.base.clock import DAY
from mailstead.base.objects import Owners
from mailstead.ses import jobs, suppression
from mailstead.ses.jobs import EXPORT, IMPORT, MESSAGE_INSIGHTS, METRICS_DATA, SUPPRESSION_LIST, Job
from mailstead.store import work
from mailstead.store.buckets import FolderBuckets
from mailstead.upkeep.jobs import Jobs
from peers.yard import ACCOUNT, REGION, Yard

OTHER = "999900001111"


class Breaking:
    """Buckets that can be away, and that do something before a reading."""

    def __init__(self, root: Path) -> None:
        self._inner = FolderBuckets(root)
        self.away: Exception | None = None
        self.before: Callable[[int], None] = lambda start: None

    async def look(self, bucket: str, key: str) -> tuple[int, str]:
        if self.away is not None:
            raise self.away
        return await self._inner.look(bucket, key)

    async def read(self, bucket: str, key: str, tag: str, start: int, size: int) -> bytes:
        self.before(start)
        return await self._inner.read(bucket, key, tag, start, size)


class Stage:
    """The duty and what it works with."""

    def __init__(self, yard: Yard, root: Path) -> None:
        self.yard = yard
        self.folder = root / "buckets" / "lists"
        self.folder.mkdir(parents=True)
        self.buckets = Breaking(root / "buckets")
        self.duty = Jobs(yard.runtime, self.buckets, Owners({"theirs": OTHER}, ACCOUNT))

    def create(self, content: bytes | None, form: str = "CSV", action: str = "PUT", url: str = "s3://lists/all") -> str:
        if content is not None:
            (self.folder / "all").write_bytes(content)
        request = {
            "ImportDestination": {"SuppressionListDestination": {"SuppressionListImportAction": action}},
            "ImportDataSource": {"S3Url": url, "DataFormat": form},
        }
        return self.yard.run(
            lambda tx: jobs.create(tx, ACCOUNT, REGION, kind=IMPORT, sort=SUPPRESSION_LIST, request=request)
        )

    def export(self, form: str = "JSON", **source: Any) -> str:
        now = self.yard.clock.now()
        told = {"StartDate": now - DAY, "EndDate": now, **source}
        request = {
            "ExportDataSource": {"MessageInsightsDataSource": told},
            "ExportDestination": {"DataFormat": form},
        }
        return self.yard.run(
            lambda tx: jobs.create(tx, ACCOUNT, REGION, kind=EXPORT, sort=MESSAGE_INSIGHTS, request=request)
        )

    def figures(self, dimensions: dict[str, list[str]], *wanted: tuple[str, str]) -> str:
        """An export of figures of the last day."""
        now = self.yard.clock.now()
        told = {
            "Dimensions": dimensions,
            "Namespace": "VDM",
            "Metrics": [{"Name": name, "Aggregation": aggregation} for name, aggregation in wanted],
            "StartDate": now - DAY,
            "EndDate": now + 1,
        }
        request = {"ExportDataSource": {"MetricsDataSource": told}, "ExportDestination": {"DataFormat": "JSON"}}
        return self.yard.run(
            lambda tx: jobs.create(tx, ACCOUNT, REGION, kind=EXPORT, sort=METRICS_DATA, request=request)
        )

    def turn(self) -> int:
        """One round of the duty's work; how many jobs were claimed."""
        return self.yard.wait(self._turn())

    async def _turn(self) -> int:
        duty = self.duty.loop.duty
        claimed = await duty.claim(duty.places)
        for job in claimed:
            try:
                await duty.do(job)
            except Exception as error:
                await duty.failed(job, error)
        return len(claimed)

    def turns(self) -> int:
        """All that is due; how many turns it took."""
        count = 0
        while self.turn():
            count += 1
        return count

    def get(self, job: str, kind: str = IMPORT) -> Job:
        return self.yard.ground.read(lambda tx: jobs.get(tx, ACCOUNT, REGION, kind, job))

    def counts(self, job: str) -> tuple[str, int, int]:
        found = self.get(job)
        return found.status, found.taken, found.failed

    def file(self, job: str, kind: str = IMPORT) -> bytes:
        return self.yard.wait(self.yard.blobs.get(self.get(job, kind).file))

    def rows(self, job: str) -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(self.file(job, EXPORT))
        return found

    def listed(self, account: str = ACCOUNT) -> dict[str, str]:
        found = self.yard.ground.read(lambda tx: suppression.list_page(tx, account, REGION))
        return {one.address: one.reason for one in found}

    def die(self) -> None:
        """The process ends without a word, and another one starts."""
        self.yard.run(lambda tx: work.release_all_but(tx, "another"))
        self.yard.run(lambda tx: work.register(tx, "yard", "here", 1))


def numbered(count: int) -> bytes:
    return b"".join(b"a%d@example.com,%s\n" % (n, b"BOUNCE" if n % 5 else b"x") for n in range(count))
