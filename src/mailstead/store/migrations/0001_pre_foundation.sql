-- Accounts, who may act for them, what they may send as, and the mail they send.
-- Times are milliseconds since 1970; truth values are 0 and 1; *_json columns hold JSON text.

CREATE TABLE accounts (
  id TEXT PRIMARY KEY,
  subscribed SMALLINT NOT NULL DEFAULT 1,
  closed SMALLINT NOT NULL DEFAULT 0,
  created BIGINT NOT NULL
);

-- What an account is in one region. max_24h -1 is unlimited; used counts recipients of the last 24 hours.
CREATE TABLE account_regions (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  sending_enabled SMALLINT NOT NULL DEFAULT 1,
  enforcement TEXT NOT NULL DEFAULT 'HEALTHY',
  production_access SMALLINT NOT NULL DEFAULT 0,
  max_24h BIGINT NOT NULL,
  max_rate DOUBLE PRECISION NOT NULL,
  used BIGINT NOT NULL DEFAULT 0,
  message_bytes BIGINT,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region)
);

-- The rolling day in slices of five minutes, so that `used` can be given back slice by slice.
CREATE TABLE quota_slices (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  slice BIGINT NOT NULL,
  recipients BIGINT NOT NULL,
  PRIMARY KEY (account, region, slice)
);

CREATE TABLE principals (
  account TEXT NOT NULL,
  name TEXT NOT NULL,
  arn TEXT NOT NULL,
  policy_json TEXT NOT NULL DEFAULT '',
  created BIGINT NOT NULL,
  PRIMARY KEY (account, name)
);

-- secret is sealed under the master key.
CREATE TABLE access_keys (
  access_key TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  principal TEXT NOT NULL,
  secret BYTEA NOT NULL,
  active SMALLINT NOT NULL DEFAULT 1,
  created BIGINT NOT NULL
);
CREATE INDEX access_keys_account ON access_keys (account);

CREATE TABLE identities (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  token TEXT NOT NULL DEFAULT '',
  dkim_enabled SMALLINT NOT NULL DEFAULT 0,
  dkim_status TEXT NOT NULL DEFAULT 'NOT_STARTED',
  dkim_origin TEXT NOT NULL DEFAULT 'AWS_SES',
  dkim_tokens_json TEXT NOT NULL DEFAULT '[]',
  dkim_key_length TEXT NOT NULL DEFAULT 'RSA_2048_BIT',
  dkim_generated BIGINT,
  feedback_forwarding SMALLINT NOT NULL DEFAULT 1,
  configuration_set TEXT NOT NULL DEFAULT '',
  mail_from_domain TEXT NOT NULL DEFAULT '',
  mail_from_status TEXT NOT NULL DEFAULT '',
  mail_from_on_failure TEXT NOT NULL DEFAULT 'USE_DEFAULT_VALUE',
  last_checked BIGINT,
  last_success BIGINT,
  check_error TEXT NOT NULL DEFAULT '',
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, name)
);

-- Signing keys: of identities, and of the provider (account '' and region '').  private is sealed under the master key.
CREATE TABLE dkim_keys (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  domain TEXT NOT NULL,
  selector TEXT NOT NULL,
  algorithm TEXT NOT NULL,
  private BYTEA NOT NULL,
  public TEXT NOT NULL,
  active SMALLINT NOT NULL DEFAULT 1,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, domain, selector)
);

-- The bodies that are small enough to live in the same commit as their rows.
CREATE TABLE blobs (
  key TEXT PRIMARY KEY,
  content BYTEA NOT NULL
);

-- The spool.  open: deliveries that are not final.  mail_json: what events tell of the message (see ses/events.py).
CREATE TABLE messages (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  origin TEXT NOT NULL,
  sender TEXT NOT NULL,
  return_path TEXT NOT NULL,
  identity TEXT NOT NULL,
  signing_domain TEXT NOT NULL DEFAULT '',
  eight_bit SMALLINT NOT NULL DEFAULT 0,
  size BIGINT NOT NULL,
  blob TEXT NOT NULL,
  open BIGINT NOT NULL,
  mail_json TEXT NOT NULL,
  created BIGINT NOT NULL,
  done BIGINT
);
CREATE INDEX messages_account ON messages (account, region, id);
CREATE INDEX messages_done ON messages (done) WHERE done IS NOT NULL;

-- One row a recipient.  due NULL: nothing is left to do.
-- state: queued, deferred, held (due far away); delivered, bounced, expired, captured, deleted (due NULL).
CREATE TABLE deliveries (
  message TEXT NOT NULL,
  n BIGINT NOT NULL,
  recipient TEXT NOT NULL,
  lane TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'queued',
  due BIGINT,
  expires BIGINT NOT NULL,
  attempts BIGINT NOT NULL DEFAULT 0,
  reply TEXT NOT NULL DEFAULT '',
  host TEXT NOT NULL DEFAULT '',
  tls TEXT NOT NULL DEFAULT '',
  changed BIGINT NOT NULL,
  PRIMARY KEY (message, n)
);
CREATE INDEX deliveries_lane ON deliveries (lane, due, message, n) WHERE due IS NOT NULL;
CREATE INDEX deliveries_expiry ON deliveries (expires) WHERE due IS NOT NULL;

-- A destination with mail waiting: claimed as a whole.  failures counts tries in a row that reached nobody.
CREATE TABLE lanes (
  lane TEXT PRIMARY KEY,
  due BIGINT,
  worker TEXT,
  failures BIGINT NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  changed BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX lanes_healthy ON lanes (due) WHERE due IS NOT NULL AND worker IS NULL AND failures = 0;
CREATE INDEX lanes_failing ON lanes (due) WHERE due IS NOT NULL AND worker IS NULL AND failures > 0;
CREATE INDEX lanes_worker ON lanes (worker) WHERE worker IS NOT NULL;

-- Tries that did not end a delivery (the last one stands in the delivery itself).
CREATE TABLE attempts (
  message TEXT NOT NULL,
  n BIGINT NOT NULL,
  attempt BIGINT NOT NULL,
  at BIGINT NOT NULL,
  host TEXT NOT NULL,
  tls TEXT NOT NULL,
  reply TEXT NOT NULL,
  next_due BIGINT NOT NULL,
  PRIMARY KEY (message, n, attempt)
);

-- Mail for the outside that stayed here (delivery.mode = capture), and what was handed in for it (--dev).
CREATE TABLE captures (
  message TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  recipients_json TEXT NOT NULL,
  blob TEXT NOT NULL,
  created BIGINT NOT NULL
);
CREATE TABLE submitted (
  message TEXT PRIMARY KEY,
  content BYTEA NOT NULL
);

-- Mail that came in and is not yet dealt with.
CREATE TABLE arrivals (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  sender TEXT NOT NULL,
  recipients_json TEXT NOT NULL,
  message TEXT NOT NULL DEFAULT '',
  size BIGINT NOT NULL,
  blob TEXT NOT NULL,
  source_json TEXT NOT NULL,
  due BIGINT,
  worker TEXT,
  attempts BIGINT NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  state TEXT NOT NULL DEFAULT 'queued',
  created BIGINT NOT NULL
);
CREATE INDEX arrivals_due ON arrivals (due) WHERE due IS NOT NULL AND worker IS NULL;
CREATE INDEX arrivals_worker ON arrivals (worker) WHERE worker IS NOT NULL;
CREATE INDEX arrivals_message ON arrivals (message) WHERE message <> '';

-- The outbox: one fact a row; who is told of it comes with event destinations.  recipients: what statistics count.
CREATE TABLE events (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  message TEXT NOT NULL,
  kind TEXT NOT NULL,
  at BIGINT NOT NULL,
  recipients BIGINT NOT NULL DEFAULT 1,
  detail_json TEXT NOT NULL
);
CREATE INDEX events_message ON events (message);
CREATE INDEX events_account ON events (account, region, id);

-- Facts counted in windows of 15 minutes, rolled up from events (upkeep/retention.py).
CREATE TABLE statistics (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  slice BIGINT NOT NULL,
  kind TEXT NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (account, region, slice, kind)
);

-- Things the clock asks for.
CREATE TABLE timers (
  id TEXT PRIMARY KEY,
  kind TEXT NOT NULL,
  account TEXT NOT NULL DEFAULT '',
  region TEXT NOT NULL DEFAULT '',
  subject TEXT NOT NULL DEFAULT '',
  due BIGINT,
  worker TEXT,
  attempts BIGINT NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  detail_json TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX timers_due ON timers (due) WHERE due IS NOT NULL AND worker IS NULL;
CREATE INDEX timers_worker ON timers (worker) WHERE worker IS NOT NULL;

-- One row a running process; its leases come free when it stops beating.
CREATE TABLE workers (
  id TEXT PRIMARY KEY,
  host TEXT NOT NULL,
  pid BIGINT NOT NULL,
  started BIGINT NOT NULL,
  beat BIGINT NOT NULL
);

-- Small facts of the installation (provider name at first start, schema notes, cursors of upkeep).
CREATE TABLE settings (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL
);
