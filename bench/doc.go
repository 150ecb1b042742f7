// Command bench measures Niyanta beside peers of its kind, on the same servers, in one run.
//
// It starts PostgreSQL (fsync on), Redis (append-only, synced every second) and NATS on loopback.
// For each phase it lets the systems take turns, each from an empty database, for several rounds.
// It prints medians, spreads and ratios, and fails if any system didn't do all its work.
//
// It is a module of its own, so that the peers never enter the product's graph.
package main
