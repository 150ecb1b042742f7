// Package servers starts the real servers that tests run against: PostgreSQL and Redis from the system's packages, NATS
// embedded. Each on free ports of loopback, in temporary folders, as an unprivileged user, ended with the tests.
// A server that is missing fails the test; nothing is skipped.
package servers
