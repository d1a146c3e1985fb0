"""The network: DNS, TLS, SMTP connections, HTTP out."""
