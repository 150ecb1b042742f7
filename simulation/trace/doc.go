// Package trace replays the trace of a cluster of GPUs on the planner, and on other policies for
// comparison, in the published way: tasks arrive one after the other, none leaves, and what does not
// fit is dropped. It reads the files of cluster-trace-gpu-v2023 (see docs/SCHEDULING.md).
//
// What does not live here: the planner (core/domain/placement).
package trace
