-- How identities are proved and lose their proof, how their signing changes, who is told of their mail.

-- vouched, dkim_vouched: the operator said so, DNS is not asked.  *_since: when that state began.
ALTER TABLE identities ADD COLUMN vouched SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE identities ADD COLUMN dkim_vouched SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE identities ADD COLUMN status_since BIGINT;
ALTER TABLE identities ADD COLUMN dkim_since BIGINT;
ALTER TABLE identities ADD COLUMN mail_from_since BIGINT;
UPDATE identities SET vouched = 1 WHERE status = 'SUCCESS';
UPDATE identities SET dkim_vouched = 1 WHERE dkim_status = 'SUCCESS';

-- dkim_off: an address that wants no signature although its domain has one.
-- next_selector: the key that will sign as soon as it is published.  next_key_length: empty if it stays as it is.
ALTER TABLE identities ADD COLUMN dkim_off SMALLINT NOT NULL DEFAULT 0;
ALTER TABLE identities ADD COLUMN next_selector TEXT NOT NULL DEFAULT '';
ALTER TABLE identities ADD COLUMN next_key_length TEXT NOT NULL DEFAULT '';
ALTER TABLE identities ADD COLUMN key_length_changed BIGINT;

-- Feedback notifications.  No row: no topics, no headers.
CREATE TABLE identity_notifications (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  bounce_topic TEXT NOT NULL DEFAULT '',
  complaint_topic TEXT NOT NULL DEFAULT '',
  delivery_topic TEXT NOT NULL DEFAULT '',
  bounce_headers SMALLINT NOT NULL DEFAULT 0,
  complaint_headers SMALLINT NOT NULL DEFAULT 0,
  delivery_headers SMALLINT NOT NULL DEFAULT 0,
  PRIMARY KEY (account, region, name)
);
