// Package nats implements ports.Bus on NATS core messaging. It uses no streams, because nothing
// depends on a message arriving. A connection that is lost is made again, with its subscriptions,
// for as long as it takes. While disconnected, publishing fails at once: hints that were kept would
// be stale. Headers carry the trace context.
package nats
