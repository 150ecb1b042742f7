package memory

// Sizes returns how much a store holds.
func Sizes(s *Store) map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := map[string]int{
		"workloads": len(s.workloads), "archive": len(s.archive), "lanes": len(s.lanes), "delayed": s.delayed.Len(),
		"holdings": len(s.holdings), "workers": len(s.workers), "sessions": len(s.past),
		"certificates": len(s.certificates), "keys": len(s.keys), "workers with events": len(s.byWorker),
		"key uses": len(s.uses), "admin events": len(s.adminEvents), "tickets": len(s.tickets),
		"uploads": len(s.uploads), "garbage": len(s.garbage),
	}
	for _, events := range s.byWorker {
		n["events of workers"] += len(events)
	}
	for _, r := range s.workloads {
		n["events"] += len(r.audit)
		n["lines"] += len(r.logs)
		n["checkpoints"] += len(r.checkpoints)
	}
	for _, r := range s.archive {
		n["events"] += len(r.audit)
		n["lines"] += len(r.logs)
		n["checkpoints"] += len(r.checkpoints)
	}
	n["feed"] = s.happened.Len()
	for _, t := range s.customers {
		n["lists"] += t.byCreated.Len()
		n["finished"] += t.finished.Len()
		n["happened"] += t.happened.Len()
		n["hours"] += len(t.counts.hours)
		n["minutes"] += len(t.counts.minutes)
		n["types"] += len(t.counts.types)
		n["idempotency keys"] += len(t.uses)
	}
	return n
}
