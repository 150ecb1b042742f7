// Package execution is the worker: it holds a session, takes assignments, runs workloads, reports, checkpoints, and fences
// itself when it may no longer act.
//
// Agent is the synchronous core: bookkeeping under one mutex, no goroutine and no timer of its own; what must run
// beside it goes through Config.Spawn. Engine is the edge around it: the loops for heartbeats, commands, reports
// and time. What runs is behind ports.Workload, who it talks to behind ports.ControlPlane.
package execution
