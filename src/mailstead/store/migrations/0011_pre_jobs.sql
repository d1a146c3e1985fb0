-- Jobs: lists read in from objects, figures and histories written out to files.

-- kind: import or export.  sort: what is imported into or exported from, in the API's words.
-- request_json: what was asked for.  position, line, tag: how far an import has come in its object, and which edition
-- of the object that is.  taken: records that were read; failed: those that were refused; given: those that were
-- written out.  file: the blob with the result of an export, or with the refused records of an import.
CREATE TABLE jobs (
  id TEXT PRIMARY KEY,
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  kind TEXT NOT NULL,
  sort TEXT NOT NULL,
  status TEXT NOT NULL DEFAULT 'CREATED',
  request_json TEXT NOT NULL,
  position BIGINT NOT NULL DEFAULT 0,
  line BIGINT NOT NULL DEFAULT 0,
  tag TEXT NOT NULL DEFAULT '',
  taken BIGINT NOT NULL DEFAULT 0,
  failed BIGINT NOT NULL DEFAULT 0,
  given BIGINT NOT NULL DEFAULT 0,
  file TEXT NOT NULL DEFAULT '',
  error TEXT NOT NULL DEFAULT '',
  due BIGINT,
  worker TEXT,
  attempts BIGINT NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '',
  created BIGINT NOT NULL,
  completed BIGINT
);
CREATE INDEX jobs_account ON jobs (account, region, kind, created, id);
CREATE INDEX jobs_open ON jobs (account, region, kind) WHERE completed IS NULL;
CREATE INDEX jobs_completed ON jobs (completed) WHERE completed IS NOT NULL;
CREATE INDEX jobs_due ON jobs (due) WHERE due IS NOT NULL AND worker IS NULL;
CREATE INDEX jobs_worker ON jobs (worker) WHERE worker IS NOT NULL;

-- Records that an import refused, until its file is written.
CREATE TABLE job_failures (
  account TEXT NOT NULL,
  job TEXT NOT NULL,
  line BIGINT NOT NULL,
  record TEXT NOT NULL,
  reason TEXT NOT NULL,
  PRIMARY KEY (job, line)
);
CREATE INDEX job_failures_account ON job_failures (account);
