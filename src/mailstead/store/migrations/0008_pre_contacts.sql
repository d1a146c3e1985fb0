-- Whom an account mails about what: its contact list in a region, the topics of that, and what each contact wants.

-- topics_json: [[id, name, display name, description or null, default status], …] in the order they were given.
CREATE TABLE contact_lists (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  id TEXT NOT NULL,
  description TEXT,
  topics_json TEXT NOT NULL,
  created BIGINT NOT NULL,
  changed BIGINT NOT NULL,
  PRIMARY KEY (account, region, name)
);
-- An account has one list in a region.
CREATE UNIQUE INDEX contact_lists_one ON contact_lists (account, region);
CREATE UNIQUE INDEX contact_lists_id ON contact_lists (id);

-- list: its id, so that a later list of the same name begins empty.  unsubscribed: 1: from all topics.
CREATE TABLE contacts (
  list TEXT NOT NULL,
  address TEXT NOT NULL,
  unsubscribed SMALLINT NOT NULL,
  attributes TEXT,
  created BIGINT NOT NULL,
  changed BIGINT NOT NULL,
  PRIMARY KEY (list, address)
);

-- topic: its id.  No row: the topic's default holds.
CREATE TABLE contact_preferences (
  list TEXT NOT NULL,
  address TEXT NOT NULL,
  topic TEXT NOT NULL,
  status TEXT NOT NULL,
  PRIMARY KEY (list, address, topic)
);
CREATE INDEX contact_preferences_topic ON contact_preferences (list, topic);

-- Lists and topics that are gone and whose rows upkeep takes away.  topic: empty: the whole list.
CREATE TABLE contact_leftovers (
  list TEXT NOT NULL,
  topic TEXT NOT NULL,
  PRIMARY KEY (list, topic)
);
