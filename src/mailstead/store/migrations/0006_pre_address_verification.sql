-- How addresses are proved: links that were mailed, and the mail that accounts write for it themselves.

-- state: open, used, over (nobody came in time), void (the identity was deleted).  secret: SHA-256, in hex.
-- success_url, failure_url: where a customer wants his visitors to go on to, empty for our own page.
CREATE TABLE address_proofs (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  secret TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'open',
  success_url TEXT NOT NULL DEFAULT '',
  failure_url TEXT NOT NULL DEFAULT '',
  created BIGINT NOT NULL,
  expires BIGINT NOT NULL
);
CREATE INDEX address_proofs_identity ON address_proofs (account, region, name, created);
CREATE INDEX address_proofs_open ON address_proofs (expires) WHERE state = 'open';
CREATE INDEX address_proofs_expires ON address_proofs (expires);

CREATE TABLE custom_verification_templates (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  sender TEXT NOT NULL,
  subject TEXT NOT NULL,
  html TEXT NOT NULL,
  success_url TEXT NOT NULL,
  failure_url TEXT NOT NULL,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, name)
);
