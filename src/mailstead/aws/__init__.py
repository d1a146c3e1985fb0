"""The SES API: a signed request in, an operation called, an answer in SES's bytes."""
