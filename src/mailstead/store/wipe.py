"""Wipe: forget what is over for long, or everything an account has (but the account, its principals and its keys)."""

from __future__ import annotations

from mailstead.store.port import Transaction

# Tables whose rows carry the account.
OWNED = (
    "identities",
    "identity_notifications",
    "address_proofs",
    "custom_verification_templates",
    "dkim_keys",
    "quota_slices",
    "captures",
    "arrivals",
    "events",
    "statistics",
    "timers",
    "configuration_sets",
    "event_destinations",
    "resource_tags",
    "templates",
    "suppressed",
    "tenants",
    "tenant_resources",
    "tenant_suppressed",
    "metrics",
    "recommendations",
    "dedicated_ips",
    "dedicated_ip_pools",
    "multi_region_endpoints",
    "jobs",
    "job_failures",
    "topics",
    "topic_subscriptions",
    "contact_lists",
    "account_regions",
)


async def wipe(tx: Transaction, account: str) -> list[str]:
    """Delete what the account has; references of blobs that have to go.

    Mail under way may still be delivered, but nothing is noted of it any more.
    """
    blobs = await tx.rows(
        "SELECT blob FROM messages WHERE account = $1 UNION SELECT blob FROM captures WHERE account = $1"
        " UNION SELECT blob FROM arrivals WHERE account = $1"
        " UNION SELECT file FROM jobs WHERE account = $1 AND file <> ''",
        account,
    )
    for table in ("deliveries", "attempts", "submitted"):
        await tx.run(f"DELETE FROM {table} WHERE message IN (SELECT id FROM messages WHERE account = $1)", account)
    await tx.run("DELETE FROM messages WHERE account = $1", account)
    for table in ("contacts", "contact_preferences"):
        await tx.run(f"DELETE FROM {table} WHERE list IN (SELECT id FROM contact_lists WHERE account = $1)", account)
    for table in OWNED:
        await tx.run(f"DELETE FROM {table} WHERE account = $1", account)
    return [str(row[0]) for row in blobs]


async def forget_messages(tx: Transaction, *, before: int, limit: int) -> tuple[int, list[str]]:
    """Delete messages that were done before a time and all that tells of them; how many, and blobs that have to go."""
    found = await tx.rows("SELECT id FROM messages WHERE done < $1 ORDER BY done LIMIT $2", before, limit)
    blobs: list[str] = []
    for (message,) in found:
        kept = await tx.rows(
            "SELECT blob FROM messages WHERE id = $1 UNION SELECT blob FROM captures WHERE message = $1", message
        )
        blobs += [str(row[0]) for row in kept]
        for table in ("deliveries", "attempts", "submitted", "captures", "events"):
            await tx.run(f"DELETE FROM {table} WHERE message = $1", message)
        await tx.run("DELETE FROM messages WHERE id = $1", message)
    return len(found), blobs


async def forget_arrivals(tx: Transaction, *, before: int, limit: int) -> tuple[int, list[str]]:
    """Delete mail that came in before a time and was dealt with; how many, and blobs that have to go.

    What strangers send must not stay for ever: postmaster is there for everybody.
    """
    rows = await tx.rows(
        "DELETE FROM arrivals WHERE id IN (SELECT id FROM arrivals WHERE due IS NULL AND created < $1"
        " ORDER BY created LIMIT $2) RETURNING blob",
        before,
        limit,
    )
    return len(rows), [str(row[0]) for row in rows]
