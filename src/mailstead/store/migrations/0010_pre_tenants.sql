-- Tenants of an account with what they may use and whom they must not mail; what was sent, counted for each day.

-- sending_status: what the account said, empty if nothing.  suppression_scope: empty if the account's settings count.
CREATE TABLE tenants (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  id TEXT NOT NULL,
  sending_status TEXT NOT NULL DEFAULT '',
  status_changed BIGINT,
  reputation_policy TEXT NOT NULL DEFAULT 'standard',
  suppression_scope TEXT NOT NULL DEFAULT '',
  suppressed_reasons_json TEXT NOT NULL DEFAULT '[]',
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, name)
);
CREATE UNIQUE INDEX tenants_id ON tenants (account, region, id);

-- tenant: its id.  resource: what stands behind the account in its ARN, "identity/NAME".
CREATE TABLE tenant_resources (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  tenant TEXT NOT NULL,
  resource TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, tenant, resource)
);
CREATE INDEX tenant_resources_resource ON tenant_resources (account, region, resource, tenant);

-- Like the table suppressed, for one tenant (its id).
CREATE TABLE tenant_suppressed (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  tenant TEXT NOT NULL,
  address TEXT NOT NULL,
  reason TEXT NOT NULL,
  message TEXT NOT NULL DEFAULT '',
  feedback TEXT NOT NULL DEFAULT '',
  changed BIGINT NOT NULL,
  PRIMARY KEY (account, region, tenant, address)
);

-- The tenant a message was sent through, by name; empty: none.
ALTER TABLE messages ADD COLUMN tenant TEXT NOT NULL DEFAULT '';

-- Mail to one recipient, counted for each day (UTC), rolled up from events (upkeep/retention.py).
CREATE TABLE metrics (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  metric TEXT NOT NULL,
  day BIGINT NOT NULL,
  identity TEXT NOT NULL,
  configuration_set TEXT NOT NULL,
  tenant TEXT NOT NULL,
  isp TEXT NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (account, region, metric, day, identity, configuration_set, tenant, isp)
);
CREATE INDEX metrics_day ON metrics (day);

-- What an account should do for its domains, as upkeep sees them.  resource: "identity/NAME".  status: OPEN or FIXED.
CREATE TABLE recommendations (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  resource TEXT NOT NULL,
  type TEXT NOT NULL,
  impact TEXT NOT NULL,
  description TEXT NOT NULL,
  status TEXT NOT NULL,
  created BIGINT NOT NULL,
  changed BIGINT NOT NULL,
  PRIMARY KEY (account, region, resource, type)
);
