// Package nats implements ports.Bus on NATS core messaging: no streams, because nothing depends on
// a message arriving. A connection that is lost is made again for ever, subscriptions included;
// while it is away, publishing fails at once rather than storing hints that will be stale. Trace
// context travels in headers.
package nats
