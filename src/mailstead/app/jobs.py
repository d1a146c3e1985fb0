"""Jobs: the duty that reads lists in and writes histories out, with the buckets that lists come from."""

from __future__ import annotations

from mailstead.app import first_start
from mailstead.app.house import House
from mailstead.app.opening import StartError
from mailstead.base.objects import Owners
from mailstead.store.buckets import FolderBuckets
from mailstead.store.port import Buckets
from mailstead.upkeep.jobs import Jobs


def start(house: House) -> None:
    """Begin to work on jobs, if this process plays that role."""
    if not house.plays("upkeep"):
        return
    duty = Jobs(house.runtime, _buckets(house), _owners(house))
    house.run("jobs", duty.run())
    house.closing.append(duty.stop)


def _owners(house: House) -> Owners:
    others = "" if house.settings.dev.enabled else first_start.FIRST_ACCOUNT
    return Owners(dict(house.settings.storage.bucket_accounts), others)


def _buckets(house: House) -> Buckets:
    """S3 if the operator named some, else folders of our own."""
    aws = house.settings.aws
    endpoint = aws.s3_endpoint or aws.endpoint
    if not endpoint and not aws.profile:
        return FolderBuckets(house.settings.storage.buckets)
    from mailstead.net.aws import S3Buckets  # noqa: PLC0415 — boto3 is an extra

    try:
        buckets = S3Buckets(endpoint, aws.profile, house.settings.regions[0])
    except ImportError:
        raise StartError("aws: a target in S3 needs boto3 (pip install 'mailstead[aws]')") from None

    async def close(grace: float) -> None:
        await buckets.close()

    house.closing.append(close)
    return buckets
