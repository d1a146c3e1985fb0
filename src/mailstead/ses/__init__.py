"""What an account owns in SES: values, rules and SQL, as functions on a transaction."""
