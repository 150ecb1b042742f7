// Package niyanta is what authors of workload types and Go clients import.
//
// A workload type is one typed Definition, shared by the worker that runs it and the client that
// submits it:
//
//	var Greet = niyanta.Define[Input, State, Output]("greet")
//
//	Greet.Handle(worker, func(ctx context.Context, t *niyanta.Task[Input, State]) (Output, error) { … })
//	run, err := Greet.Submit(ctx, client, Input{Name: "Ada"})
//	out, err := run.Result(ctx)
//
// Execution is at least once: after a crash, another worker continues from the last durable
// checkpoint. Exactly one outcome of a workload is committed, because results of older generations
// are refused. Whatever a handler does to the outside between two checkpoints may therefore happen
// again; use Task.WorkloadID and Task.Generation to make it idempotent there.
//
// # Clients
//
// A Client calls the REST API of one coordinator or of several, and tries again what is safe to try
// again: see RetryFor. Its errors are of type *Error; compare them with errors.Is and the Err…
// values. Lists are iterators that read page after page:
//
//	for w, err := range client.Workloads(ctx, niyanta.ListParams{}) { … }
package niyanta
