-- Whom an account must not mail, and what an account says of itself.

-- address: its domain in lower case and A-labels.  message and feedback: what put it there; empty: somebody by hand.
CREATE TABLE suppressed (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  address TEXT NOT NULL,
  reason TEXT NOT NULL,
  message TEXT NOT NULL DEFAULT '',
  feedback TEXT NOT NULL DEFAULT '',
  changed BIGINT NOT NULL,
  PRIMARY KEY (account, region, address)
);
CREATE INDEX suppressed_changed ON suppressed (account, region, changed);

-- review: empty, PENDING, GRANTED or DENIED.
ALTER TABLE account_regions ADD COLUMN suppressed_reasons_json TEXT NOT NULL DEFAULT '["BOUNCE","COMPLAINT"]';
ALTER TABLE account_regions ADD COLUMN validation TEXT NOT NULL DEFAULT '';
ALTER TABLE account_regions ADD COLUMN details_json TEXT NOT NULL DEFAULT '';
ALTER TABLE account_regions ADD COLUMN review TEXT NOT NULL DEFAULT '';
ALTER TABLE account_regions ADD COLUMN review_case TEXT NOT NULL DEFAULT '';
