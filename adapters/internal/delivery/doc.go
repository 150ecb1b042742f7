// Package delivery hands the messages that a bus receives to the handlers of its subscriptions.
// Adapters of ports.Bus build on it, so that they agree on order, panics, full buffers and closing.
// How messages travel between processes is theirs.
package delivery
