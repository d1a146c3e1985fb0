-- Addresses that accounts have for themselves, endpoints, and what an account chooses for insights and warm-up.

-- An address of the installation is one account's in one region.  warmup: percent.
CREATE TABLE dedicated_ips (
  ip TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  pool TEXT NOT NULL,
  warmup BIGINT NOT NULL,
  created BIGINT NOT NULL
);
CREATE INDEX dedicated_ips_account ON dedicated_ips (account, region, ip);
CREATE INDEX dedicated_ips_pool ON dedicated_ips (account, region, pool, ip);

CREATE TABLE dedicated_ip_pools (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  scaling_mode TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, name)
);

-- other: the second region, behind the one that holds the row.
CREATE TABLE multi_region_endpoints (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  id TEXT NOT NULL,
  other TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, name)
);
CREATE UNIQUE INDEX multi_region_endpoints_id ON multi_region_endpoints (id);

-- vdm: empty where it was never set.  next_plan: counts from plan_from on.
ALTER TABLE account_regions ADD COLUMN auto_warmup SMALLINT NOT NULL DEFAULT 1;
ALTER TABLE account_regions ADD COLUMN vdm TEXT NOT NULL DEFAULT '';
ALTER TABLE account_regions ADD COLUMN vdm_engagement TEXT NOT NULL DEFAULT '';
ALTER TABLE account_regions ADD COLUMN vdm_shared_delivery TEXT NOT NULL DEFAULT '';
ALTER TABLE account_regions ADD COLUMN plan TEXT NOT NULL DEFAULT '';
ALTER TABLE account_regions ADD COLUMN next_plan TEXT NOT NULL DEFAULT '';
ALTER TABLE account_regions ADD COLUMN plan_from BIGINT NOT NULL DEFAULT 0;
