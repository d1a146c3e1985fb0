-- Templates: subject, text and HTML in the words of Handlebars.  NULL: the template has no such part.
CREATE TABLE templates (
  account TEXT NOT NULL,
  region TEXT NOT NULL,
  name TEXT NOT NULL,
  subject TEXT NOT NULL,
  body TEXT,
  html TEXT,
  created BIGINT NOT NULL,
  PRIMARY KEY (account, region, name)
);

-- What the test double tells of a templated send (GET /_aws/ses); empty for the others.
ALTER TABLE submitted ADD COLUMN template TEXT NOT NULL DEFAULT '';
ALTER TABLE submitted ADD COLUMN template_data TEXT NOT NULL DEFAULT '';
