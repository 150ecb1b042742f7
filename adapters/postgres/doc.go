// Package postgres implements the store ports and the leader lease on PostgreSQL 15 or later.
//
// What is written is written in sets: one transaction per batch, two round trips (lock and read; write and commit),
// whatever the size of the batch. What is legal is domain.Execute's to say, between the two. Time is the database's
// (niyanta_now). No session state is used, so that a transaction-mode pooler may stand between.
//
// Tables: workloads is the hot row, updated in its page because no mutable column is in an index; what waits, is delayed,
// runs or is paused has a row in a narrow table of that name; what is large or never changes stands beside.
package postgres
