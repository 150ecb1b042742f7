// Package archiving writes archived workloads to a blob storage, where they stay when the archive
// drops them: one line of JSON for each workload, in objects of one month and one customer. It runs
// on the leader, as a part of retention. A month is written once it is over, when nothing is archived
// in it any more. So a month that is written again after a crash gets the same objects with the same
// lines. docs/operations/retention.md describes the objects and the lines.
package archiving
