-- Configuration sets with their option groups, who is told of events, and tags on anything that has an ARN.

-- max_delivery: seconds.  suppressed_reasons_json NULL: what the account says.
CREATE TABLE configuration_sets (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  sending_enabled SMALLINT NOT NULL DEFAULT 1,
  reputation_metrics SMALLINT NOT NULL DEFAULT 0,
  fresh_start BIGINT,
  tls_policy TEXT NOT NULL DEFAULT 'OPTIONAL',
  sending_pool TEXT NOT NULL DEFAULT '',
  max_delivery BIGINT,
  redirect_domain TEXT NOT NULL DEFAULT '',
  https_policy TEXT NOT NULL DEFAULT '',
  suppressed_reasons_json TEXT,
  suppression_scope TEXT NOT NULL DEFAULT '',
  validation TEXT NOT NULL DEFAULT '',
  engagement_metrics TEXT NOT NULL DEFAULT '',
  shared_delivery TEXT NOT NULL DEFAULT '',
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, name)
);

-- kind: sns, firehose, cloudwatch, eventbridge.  target_json: as ses/event_destinations.py writes it.
CREATE TABLE event_destinations (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  configuration_set TEXT NOT NULL,
  name TEXT NOT NULL,
  enabled SMALLINT NOT NULL,
  types_json TEXT NOT NULL,
  kind TEXT NOT NULL,
  target_json TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, configuration_set, name)
);

-- resource: what stands behind the account in its ARN, "configuration-set/NAME".
CREATE TABLE resource_tags (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  resource TEXT NOT NULL,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (account, region, resource, key)
);

-- What a configuration set asked for when the message was accepted.  max_delivery: seconds, where it shortens the life.
ALTER TABLE messages ADD COLUMN configuration_set TEXT NOT NULL DEFAULT '';
ALTER TABLE messages ADD COLUMN require_tls SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN max_delivery BIGINT;
