// Package postgres implements the store ports and the leader lease on PostgreSQL 15 or later.
//
// Writes come in sets: one transaction per batch, with two round trips (lock and read; write and
// commit), whatever the size of the batch. Between the two, the domain decides. Time is the
// database's (niyanta_now). No session state is used, so that a pooler in transaction mode may
// stand in between.
//
// Tables: workloads has the columns that change often. It is updated in place (HOT), because no
// column that changes is in an index. A workload that waits, is delayed, runs or is paused has a
// row in a narrow table of that name. What is large or never changes stands in tables of its own.
package postgres
