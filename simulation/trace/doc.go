// Package trace replays the trace of a cluster of GPUs on the planner, and on other policies for
// comparison. It reads the files of cluster-trace-gpu-v2023 (see docs/SCHEDULING.md).
//
// In the published way tasks arrive one after the other, none leaves, and what does not fit is
// dropped. With departures, tasks arrive over time, wait until they are placed, and leave.
//
// What does not live here: the planner (core/domain/placement).
package trace
