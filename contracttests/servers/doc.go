// Package servers starts the servers that tests need: PostgreSQL, pgbouncer and Redis from the
// system's packages, NATS embedded. They listen on free ports of loopback, keep their data in
// temporary folders, run as an unprivileged user, and end with the tests. A test fails if its
// server is not installed; nothing is skipped.
package servers
