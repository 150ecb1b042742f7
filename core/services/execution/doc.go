// Package execution is the worker. It holds a session, takes assignments, runs workloads, saves
// their checkpoints, reports, and fences itself when it may no longer act.
//
// Agent is the synchronous core: bookkeeping under one mutex, without a goroutine or a timer of its
// own. What must run beside it goes through Deps.Spawn. Engine is the edge around it: the loops for
// heartbeats, commands, reports and time. What runs is behind ports.Workload. The coordinators are
// behind ports.ControlPlane.
package execution
