-- Topics of SNS and who subscribes to them.

-- attributes_json: what was set, by SNS's names; what was not set is its default.
CREATE TABLE topics (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  attributes_json TEXT NOT NULL,
  deleted BIGINT NOT NULL DEFAULT 0,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, name)
);

-- deleted in topics: subscriptions of it that were taken away.  authenticated: confirmed by a signed call.
-- account: the owner, in whose topics this is.
CREATE TABLE topic_subscriptions (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  topic TEXT NOT NULL,
  protocol TEXT NOT NULL,
  endpoint TEXT NOT NULL,
  attributes_json TEXT NOT NULL,
  confirmed SMALLINT NOT NULL,
  authenticated SMALLINT NOT NULL DEFAULT 0,
  created BIGINT NOT NULL
);
CREATE UNIQUE INDEX topic_subscriptions_endpoint ON topic_subscriptions (account, region, topic, protocol, endpoint);
CREATE INDEX topic_subscriptions_topic ON topic_subscriptions (account, region, topic, id);
CREATE INDEX topic_subscriptions_account ON topic_subscriptions (account, region, id);
CREATE INDEX topic_subscriptions_pending ON topic_subscriptions (created) WHERE confirmed = 0;
