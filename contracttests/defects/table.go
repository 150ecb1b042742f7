package defects

// layer is a kind of tests.
type layer string

const (
	sim         layer = "simulation"
	exhaustive  layer = "exhaustive"
	crashPoints layer = "crash points"
	onMemory    layer = "contracts on memory"
	onPostgres  layer = "contracts on PostgreSQL"
	lostCommits layer = "lost commits on PostgreSQL"
	plane       layer = "contracts of the control plane"
	properties  layer = "properties of the domain"
	engine      layer = "tests of the worker's engine"
	tenants     layer = "tests of what customers may name"
	updates     layer = "tests of live updates"
	archive     layer = "tests of the archive's lines"
)

// defect is a mistake in the source. The first occurrence of old in file is replaced by new. The
// edits in more are made as well. Every layer in by must notice the defect.
type defect struct {
	name, file, old, new string
	more                 []edit
	by                   []layer
}

type edit struct{ file, old, new string }

const (
	decide    = "core/domain/decide.go"
	execute   = "core/domain/execute.go"
	table     = "core/domain/transition.go"
	planner   = "core/domain/placement/planner.go"
	affinity  = "core/domain/affinity.go"
	fleet     = "core/domain/placement/fleet.go"
	ending    = "core/domain/ending.go"
	suspect   = "core/domain/suspect.go"
	session   = "core/domain/session.go"
	admission = "core/domain/admission.go"
	agent     = "core/services/execution/session.go"
	memory    = "adapters/memory/"
	postgres  = "adapters/postgres/"
	reconcile = "core/services/controlplane/reconcile.go"
	reports   = "core/services/controlplane/reports.go"
	lines     = "core/services/archiving/export.go"
	holding   = "core/domain/holding.go"
	resources = "core/domain/resources.go"
	commands  = "core/services/execution/commands.go"
	run       = "core/services/execution/run.go"
	reserve   = "core/domain/placement/reserve.go"
)

var defects = []defect{
	// Fencing.
	{"generation of a worker's report unchecked", decide,
		"t.Generation != w.Generation || !w.Status.Held() || t.SessionID != w.SessionID",
		"!w.Status.Held() || t.SessionID != w.SessionID", nil, []layer{onMemory}},
	{"session of a worker's report unchecked", decide,
		"|| t.SessionID != w.SessionID {\n\t\t\treturn OutcomeFenced\n\t\t}\n\tcase FromLeader",
		"{\n\t\t\treturn OutcomeFenced\n\t\t}\n\tcase FromLeader", nil, []layer{onMemory}},
	{"whole guard of a worker's report dropped", decide,
		"t.Generation != w.Generation || !w.Status.Held() || t.SessionID != w.SessionID",
		"false", nil, []layer{sim, exhaustive, onMemory}},
	{"generation of the leader's decision unchecked", decide, "if t.Generation != want {", "if false {", nil,
		[]layer{onMemory}},
	{"any checkpoint sequence accepted", decide, "t.CheckpointSequence != w.CheckpointSequence+1", "false", nil,
		[]layer{onMemory}},
	{"epoch unchecked", "core/domain/tenancy.go", "epoch <= 0 || epoch != current {", "epoch <= 0 {", nil,
		[]layer{sim, exhaustive, onMemory}},
	{"epoch unchecked in PostgreSQL", postgres + "apply.go", "domain.CheckEpoch(epoch, leader)",
		"domain.CheckEpoch(epoch, max(epoch, leader))", nil, []layer{onPostgres}},
	{"epoch does not grow when leadership changes hands", memory + "leader.go", "epoch: cur.epoch + 1",
		"epoch: max(cur.epoch, 1)", nil, []layer{sim, onMemory}},
	{"a delayed registration revives an ended session", session,
		"func(e EndedSession) bool { return e.ID == r.SessionID }", "func(EndedSession) bool { return false }", nil,
		[]layer{onMemory}},

	{"any secret certifies a death", session, "if len(known) > 0 && len(matching) == 0 {",
		"if matching = known; false {", nil, []layer{onMemory}},
	{"a certificate is forgotten", memory + "workers.go", "		w.s.certificates[proof] = w.s.now()\n", "", nil,
		[]layer{onMemory}},
	{"another process takes an id over without a word", session, "case r.TakeOver, r.sameProcess(",
		"case true, r.sameProcess(", nil, []layer{onMemory}},
	{"a process that registers again under its id has not returned", session,
		"if r.sameProcess(e.ID, e.ProcessID) && !e.Returned", "if r.PreviousSessionID == e.ID && !e.Returned", nil,
		[]layer{onMemory, properties}},

	// The state machine.
	{"a finished workload can be cancelled", table, "StatusPaused, StatusRedistributing}\n	waiting",
		"StatusPaused, StatusRedistributing, StatusCompleted, StatusFailed}\n	waiting",
		nil, []layer{sim, exhaustive, properties}},
	{"a pause is forgotten when the worker is lost", decide, "		s.pauseInstead(w, audit, PausedAfterLoss)", "",
		nil, []layer{sim, exhaustive, onMemory}},
	{"cancel keeps the worker", table, "{EventCancel, FromAPI, nonFinal, []Status{StatusCancelled}, true}",
		"{EventCancel, FromAPI, nonFinal, []Status{StatusCancelled}, false}",
		nil, []layer{sim, exhaustive}},
	{"a repeated checkpoint is refused", decide,
		"return t.Generation == w.CheckpointGeneration && t.CheckpointSequence == w.CheckpointSequence",
		"return false", nil, []layer{sim}},
	{"a repeated end is fenced", decide,
		"return t.Generation > 0 && t.Generation == w.EndedGeneration && t.Event == w.EndedEvent", "return false",
		nil, []layer{onMemory}},
	{"retry budget ignored", decide, "f.Permanent || w.RetryCount >= w.Run.MaxRetries", "f.Permanent", nil, []layer{sim}},
	{"losses of workers are never counted", decide, "	s.RedistributionCount++\n", "", nil, []layer{sim}},
	{"a lost worker spends a retry", decide, "	s.RedistributionCount++\n",
		"	s.RedistributionCount++\n	s.RetryCount++\n", nil, []layer{sim, exhaustive}},
	{"an unplaceable workload is marked again and again", decide,
		"return w.Status.Waiting() && t.Generation == w.Generation && w.Reason == t.Reason", "return false", nil,
		[]layer{properties}},
	{"backoff ignored", decide, "if t.Event == EventAssign && now.Before(w.NotBefore) {", "if false {", nil,
		[]layer{onMemory}},

	// Requests that are repeated, and workloads that are run again.
	{"anybody's cancel is repeated", decide,
		"w.Status == StatusCancelled && t.Request != \"\" && t.Request == w.CancelRequest",
		"w.Status == StatusCancelled && true", nil, []layer{onMemory, properties}},
	{"a cancel is never repeated", decide, "w.Status == StatusCancelled && t.Request != \"\"",
		"false && t.Request != \"\"", nil, []layer{onMemory, properties}},
	{"a cancel is repeated for ever", decide, "now.Sub(w.FinishedAt) < IdempotencyRetention", "true",
		nil, []layer{onMemory, properties}},
	{"another customer's checkpoint is restored", postgres + "restore.go", " AND w.customer_id = u.customer_id", "",
		nil, []layer{onPostgres}},
	{"a damaged checkpoint is restored", postgres + "restore.go",
		" AND (c.blob_id IS NOT NULL OR sha256(c.data) = c.checksum)", "",
		nil, []layer{onPostgres}},
	{"a damaged checkpoint is restored in memory", memory + "checkpoints.go", "sha256.Sum256(c.data) == c.Checksum",
		"sha256.Sum256(c.data) != [32]byte{}", nil, []layer{onMemory}},
	{"a restored checkpoint is described and not copied", postgres + "submit.go",
		"		writeRows(t, &restoredTable, copyCheckpoints, pointers(copies))\n", "", nil, []layer{onPostgres}},
	{"the last answer replaces the first", memory + "answers.go", "first != nil && !first.Forgotten(now)", "false",
		nil, []layer{onMemory}},

	// Deletion of customers.
	{"a deletion leaves the keys of the customer", memory + "tenants.go", "			key.RevokedAt = now\n",
		"			_ = now\n", nil, []layer{sim, onMemory}},
	{"a deletion frees the id", memory + "tenants.go", " || c.s.deleted[cust.ID]", "", nil, []layer{sim, onMemory}},
	{"a deletion lets submissions through", "core/domain/admission.go", " || known.Customer.Deleting()", "", nil,
		[]layer{sim, onMemory}},
	{"a deletion removes what a worker still runs", memory + "erasure.go", "if !s.endingLocked(r.ID) {", "if true {", nil,
		[]layer{sim, onMemory}},
	{"a deletion begins unforced though there is unfinished work", "core/domain/deletion.go",
		"if unfinished > 0 && !force {", "if unfinished > 1000 && !force {", nil, []layer{sim, onMemory}},
	{"a deletion goes on while work is placed", "core/domain/customer.go",
		"if c.Suspended() || c.Deleting() {\n		e.MaxConcurrent", "if c.Suspended() {\n		e.MaxConcurrent", nil,
		[]layer{sim, onMemory}},
	{"a deletion stops after the first batch", "core/services/erasure/service.go",
		"	s.after, s.moved = \"\", false\n	switch {",
		"	s.moved = false\n	if len(customers) > 0 {\n		s.after = customers[len(customers)-1]\n	}\n	switch {", nil,
		[]layer{sim}},
	{"a deletion cancels only what workers run", memory + "erasure.go", "if !r.Status.Final() {", "if r.Status.Held() {",
		nil, []layer{sim, onMemory}},
	{"a deletion leaves workloads to late reports", memory + "erasure.go", "		delete(s.workloads, r.ID)\n", "", nil,
		[]layer{sim, onMemory}},
	{"a deletion is not fenced", memory + "erasure.go", "e.s.checkEpochLocked(epoch)",
		"e.s.checkEpochLocked(max(epoch, e.s.leader.epoch))", nil, []layer{sim, onMemory}},
	{"a deletion leaves the admission of the customer", postgres + "erasure.go", "\"api_keys\", \"queue_bounds\", ",
		"\"api_keys\", ",
		nil, []layer{onPostgres, crashPoints}},
	{"a deletion forgets a table", postgres + "erasure.go", "\"idempotency_keys\", \"answers\", ",
		"\"idempotency_keys\", ", nil, []layer{onPostgres}},

	// Tickets and hints.
	{"a ticket is used twice", memory + "tickets.go", "	delete(t.s.tickets, digest)\n	return ticket, nil",
		"	return ticket, nil", nil, []layer{onMemory, tenants}},
	{"a ticket outlives its time", "core/domain/ticket.go", "now.Sub(t.CreatedAt) >= lifetime",
		"now.Sub(t.CreatedAt) >= 2*lifetime", nil, []layer{onMemory}},
	{"a ticket outlives its time on PostgreSQL", postgres + "tickets.go", "digest[:], lifetime.Microseconds())",
		"digest[:], 2*lifetime.Microseconds())", nil, []layer{onPostgres}},
	{"a ticket opens any customer's workload", "core/services/tenancy/tickets.go",
		"		return s.Recheck(ctx, domain.Principal{KeyID: t.KeyID, KeyPrefix: t.KeyPrefix})\n",
		"		p, err := s.Recheck(ctx, domain.Principal{KeyID: t.KeyID, KeyPrefix: t.KeyPrefix})\n" +
			"		p.Role, p.CustomerID = domain.RoleAdmin, \"\"\n		return p, err\n",
		nil, []layer{tenants}},
	{"an update is lost with its hint", "core/services/live/service.go", "if behind(end, st.position()) {",
		"if behind(end, st.position()) && false {", nil, []layer{updates}},

	// Limits and placement.
	{"running limit unchecked at the commit and in the plan", execute, "y.Running[w.CustomerID] >= limit",
		"y.Running[w.CustomerID] >= limit+1000", nil, []layer{onMemory}},
	{"running limit unchecked by the planner", planner, "if q.customer.limited && q.customer.room <= 0 {",
		"if false {", nil, []layer{properties}},
	{"slots unchecked at the commit", execute, "if y.Held[t.SessionID] >= wk.Slots {", "if false {", nil,
		[]layer{onMemory}},
	{"assignment to an ended session", execute, "!wk.Holds(t.SessionID) || wk.Status != WorkerHealthy",
		"wk == nil", nil, []layer{onMemory}},
	{"hard affinity ignored", affinity, "func (a Affinity) Admits(w *Worker) bool {",
		"func (a Affinity) Admits(w *Worker) bool {\n\tif w != nil {\n\t\treturn true\n\t}", nil, []layer{sim}},
	{"queue depth counted, then inserted", postgres + "submit.go", " FOR SHARE OF c FOR NO KEY UPDATE OF b", "", nil,
		[]layer{onPostgres}},
	{"queue depth unchecked", admission, "q := known.Queue(); q.Depth >= q.Max", "q := known.Queue(); q.Max < 0", nil,
		[]layer{onMemory}},
	{"running limit read without a lock that excludes other assignments", postgres + "apply.go",
		`		lock = "NO KEY UPDATE"`, `		lock = "SHARE"`, nil, []layer{onPostgres}},

	// Resources.
	{"resources unchecked at the commit", execute, "w.Run.Resources, t.Devices); why != \"\" {",
		"w.Run.Resources, t.Devices); why != \"\" && false {", nil, []layer{onMemory, onPostgres}},
	{"a plan is made and checked without the devices that runs hold", holding, "			h.free[i] += sign * d.Share\n",
		"			h.free[i] += 0 * sign * d.Share\n", nil, []layer{sim, onMemory}},
	{"a share counts on another device", holding, "			h.free[i] += sign * d.Share\n",
		"			h.free[len(h.free)-1-i] += sign * d.Share\n", nil, []layer{sim, onMemory}},
	{"amounts count once for all runs of a lane", holding, "h.left = h.left.minus(r.Amounts, n)",
		"h.left = h.left.minus(r.Amounts, int(-sign))", nil, []layer{onPostgres}},
	{"a custom amount is not counted", holding, "		h.custom[name] += int64(n) * amount\n",
		"		h.custom[name] += 0 * amount\n", nil, []layer{sim, onMemory}},
	{"a device of another model is given", resources,
		"return len(r.GPUModels) == 0 || slices.Contains(r.GPUModels, model)", "return true", nil,
		[]layer{sim, onMemory}},
	{"ending runs hold no resources in PostgreSQL", postgres + "occupancy.go", "held[i].Count+held[i].Ending)",
		"held[i].Count)", nil, []layer{onPostgres}},
	{"the devices of an ending run are given again", ending,
		"e.WorkerID, e.SessionID, e.Devices = before.WorkerID, before.SessionID, before.Devices",
		"e.WorkerID, e.SessionID = before.WorkerID, before.SessionID", nil, []layer{sim, onMemory}},
	{"ending runs hold no resources in memory", memory + "lane.go",
		"			held.Take(&s.lanes[e.Lane].Resources, e.Devices, 1)\n", "			_ = e\n", nil, []layer{onMemory}},
	{"devices are not released when the worker is lost", decide,
		"		next.WorkerID, next.SessionID, next.Devices = \"\", \"\", nil\n",
		"		next.WorkerID, next.SessionID = \"\", \"\"\n", nil, []layer{sim, onMemory}},
	{"a worker starts what does not fit beside its runs", commands, "case !a.holding.Allows(&as.Resources, as.Devices):",
		"case false:", nil, []layer{sim, engine}},
	{"a run that has returned holds its devices", run,
		"	a.holding.Return(&r.assignment.Resources, r.assignment.Devices, 1)\n", "", nil, []layer{sim, engine}},
	{"a run that only the inventory knows holds no device", reconcile, "			t.Devices = item.Devices\n", "", nil,
		[]layer{sim}},
	{"nothing is reserved for whole devices", planner, "		p.reserve()\n", "", nil, []layer{properties}},
	{"only what does not fit now reserves", reserve, "		if w.kept != nil || ",
		"		if w.hasRoomIn(&w.holding, l) {\n			return nil, due\n		}\n		if w.kept != nil || ", nil,
		[]layer{properties}},
	{"what ends after a reservation is due passes", reserve, "(end.IsZero() || end.After(w.due))", "end.IsZero()", nil,
		[]layer{properties}},
	{"nothing passes a reservation", reserve, " && (end.IsZero() || end.After(w.due))", "", nil, []layer{properties}},
	{"a reservation is due when the first of its devices is", reserve, "end := w.end(i); end.After(d.due)",
		"end := w.end(i); d.due.IsZero()", nil, []layer{properties}},
	{"devices beside a run that never ends are kept", reserve, "!d.due.After(horizon) && ", "horizon != d.due && ", nil,
		[]layer{properties}},
	{"only devices are waited for", reserve, "if end := w.amountsDue(l); end.After(d.due) {",
		"if end := d.due; end.After(d.due) {", nil, []layer{properties}},
	{"a run that has not started ends by its timeout from now", "core/domain/backfill.go", "StartAllowance + timeout",
		"timeout", nil, []layer{onMemory}},
	{"runs without a timeout have ended", "core/domain/backfill.go", "now.Add(now.Sub(since))", "now", nil,
		[]layer{onMemory, onPostgres}},
	{"heads in PostgreSQL do not say how long a run may last", postgres + "queue.go", "coalesce(timeout_us, 0)",
		"0::bigint", nil, []layer{onPostgres}},

	// Stores.
	{"audit missing in memory", memory + "workloads.go",
		"		if event.Type != \"\" {\n\t\t\ts.auditLocked(r, event)\n\t\t}\n", "		_ = event\n", nil,
		[]layer{sim, exhaustive, onMemory}},
	{name: "audit written outside the transaction", file: postgres + "apply.go", old: "	t.queueAudit(events)\n",
		new: "	t.late = func() { t.queueAudit(events) }\n",
		more: []edit{
			{postgres + "tx.go", "	ended bool\n}", "	ended bool\n	late func()\n}"},
			{postgres + "tx.go", "	t.ended = true\n	return t.flush(ctx)\n",
				"	t.ended = true\n	err := t.flush(ctx)\n	if err == nil && t.late != nil " +
					"{\n		t.late()\n		err = t.flush(ctx)\n	}\n	return err\n"},
		}, by: []layer{crashPoints}},
	{"only the last run counts as execution", decide, "next.Executed += max(now.Sub(w.StartedAt), 0)",
		"next.Executed = now.Sub(w.StartedAt)", nil, []layer{onMemory}},
	{"transitions are not counted in memory", memory + "workloads.go",
		"		s.customers[r.CustomerID].counts.add(domain.CountChange(&r.State, &next, event.Used))\n", "",
		nil, []layer{sim, onMemory}},
	{"submissions are not counted in PostgreSQL", postgres + "submit.go", "		t.queueDeltas(deltas)\n", "", nil,
		[]layer{onPostgres}},
	{"a fold replaces the total", postgres + "statistics.go", "queued = t.queued + excluded.queued",
		"queued = excluded.queued", nil, []layer{onPostgres}},
	{"changes that are not folded yet are not counted", postgres + "statistics.go",
		"  UNION ALL SELECT customer_id, queued, running, paused,\n" +
			"    CASE WHEN minute >= (SELECT began FROM today) THEN submitted ELSE 0 END\n" +
			"   FROM count_deltas WHERE ` + counted + `) c`",
		") c`", nil, []layer{onPostgres}},
	{"a commit of unknown outcome is repeated", postgres + "tx.go", "if rerr != nil || committed {",
		"if rerr != nil || committed && false {", nil, []layer{lostCommits}},
	{"a commit of unknown outcome is taken for done", postgres + "tx.go", "if rerr != nil || committed {",
		"if committed = true; committed {", nil, []layer{crashPoints}},
	{"workload rows read without a lock", postgres + "workload_table.go", `lockRows = " FOR NO KEY UPDATE OF w"`,
		`lockRows = ""`, nil, []layer{onPostgres}},
	{"a heartbeat that arrives while the session expires is ignored", postgres + "workers.go",
		"WHERE l.live AND l.lease_until <= niyanta_now() ORDER BY", "WHERE l.live ORDER BY", nil, []layer{onPostgres}},
	{"leases by the application's clock", postgres + "workers.go", "renewed, t.now, t.now.Add(lease))",
		"renewed, time.Now(), time.Now().Add(lease))", nil, []layer{onPostgres}},
	{"checkpoint bytes saved although fenced", postgres + "checkpoints.go",
		"if results[0].Outcome == domain.OutcomeApplied {", "if results[0].Outcome != domain.OutcomeNotFound {", nil,
		[]layer{onPostgres}},
	{"idempotency keys ignored", admission, "u != nil && !u.Forgotten(now) {", "u != nil && false {", nil,
		[]layer{sim, onMemory}},
	{"another customer's workload is found", memory + "store.go", "r == nil || r.CustomerID != customer", "r == nil",
		nil, []layer{sim, onMemory, tenants}},
	{"results share memory with the store", memory + "workloads.go", "found = append(found, r.Workload.Clone())",
		"found = append(found, r.Workload)", nil, []layer{onMemory}},
	{"a workload that becomes due stays delayed", memory + "lane.go", "if !ok || r.NotBefore.After(now) {",
		"if !ok || r.NotBefore.After(now) || ok {", nil, []layer{sim, onMemory}},

	{"anti rules bind all customers", fleet, "	binds := l.CustomerID\n", "	binds := everyCustomer\n", nil,
		[]layer{properties}},
	{"anti rules of what runs are ignored", fleet, "return w.repelled != nil && (", "return false && (", nil,
		[]layer{sim, properties}},
	{"a cancelled run gives its slot back at once", ending, "	return t.Event != EventLose\n", "	return false\n",
		nil, []layer{onMemory, properties}},
	{"ending runs do not count at the commit", memory + "workloads.go", "len(h.records) + len(h.ending)",
		"len(h.records)", nil, []layer{onMemory}},
	{"an assignment ignores a run that was found since it was planned", execute,
		"if y.FoundAt[t.SessionID].After(t.FoundAt) {", "if false {", nil, []layer{onMemory}},
	{"an inventory never frees the slot of an ending run", reconcile, "if !has[r] && w.HeldFor >= inventoryAge {",
		"if false {", nil, []layer{plane}},
	{"declines do not back off", ending, "d.Count = old.Count + 1", "d.Count = 1", nil, []layer{properties}},
	{"a process that lives counts as dead", suspect, "return e.Loss == LossExpired && (e.Supervised || e.Returned)",
		"return e.Loss == LossExpired && e.Supervised && e.Returned", nil, []layer{onMemory, properties}},
	{"suspects share a worker at once", execute,
		"w.Suspect() && y.Suspects[t.SessionID] > 0 && AvoidsSuspects(w.SuspectSince, now)", "false", nil,
		[]layer{onMemory, properties}},
	{"a customer's lanes are not bounded", memory + "queue.go", "if len(lanes) > hq.PerCustomer() {",
		"if len(lanes) < 0 {", nil, []layer{onMemory}},
	{"a lane that a submission relies on is forgotten", postgres + "lanes.go", "touchInterval = 5 * time.Minute",
		"touchInterval = 5000 * time.Minute", nil, []layer{onPostgres}},

	// Services.
	{"no self-fencing", agent, "if a.live && a.deps.Clock.Now().Sub(a.answered) >= a.lease-a.lease/leaseMargin {",
		"if false {", nil, []layer{sim}},
	{"lease counted from the answer, not from the request", agent, "sent.After(a.answered) {\n\t\ta.answered = sent",
		"sent.After(a.answered) {\n\t\ta.answered = a.deps.Clock.Now()", nil, []layer{engine}},
	{"sessions never expire", "core/services/health/service.go", "if now.Sub(claim.Since) >= s.cfg.Lease {",
		"if false {", nil, []layer{sim}},
	{"no orphan sweep", "core/services/health/service.go", "expired, s.loseOrphans(ctx, claim.Epoch)", "expired", nil,
		[]layer{sim}},
	{"the leader does not time out a run that ignores its deadline", "core/services/health/service.go",
		"s.timeOut(ctx, claim.Epoch), ", "", nil, []layer{crashPoints}},
	{"a lost report is not sent again", "core/services/execution/outbox.go",
		"	a.outbox = append(kept, a.outbox...)\n", "	_ = kept\n", nil, []layer{sim}},
	{"a run starts from the beginning", run, "if r.assignment.CheckpointSequence > 0 {",
		"if r.assignment.CheckpointSequence > 1000 {", nil, []layer{sim}},
	{"a late assignment starts a run that has ended", commands, "if a.ended.has(key) {",
		"if false {", nil, []layer{sim}},
	{"a declined assignment starts when it comes again", commands,
		"	a.ended.add(as.Run())\n", "", nil, []layer{engine}},
	{"a preempted run stops before its checkpoint is durable", "core/services/execution/stopping.go",
		"		if !saved || r.abandoned", "		if !saved && false || r.abandoned", nil, []layer{engine}},
	{"another checkpoint is sent under the sequence of one without an answer", "core/services/execution/unsettled.go",
		"	if open == nil {", "	if true {", nil, []layer{engine}},
	{"each checkpoint after a pause has a grace of its own", "core/services/execution/saving.go",
		"left := s.run.graceLeft()",
		"left := s.run.agent.cfg.StopGrace", nil, []layer{engine}},
	{"a failure during a drain is taken for a release", run,
		"	case !stopped(r.ctx, err):\n", "	case false:\n", nil, []layer{engine}},
	{"an outcome overtakes the log lines of its run", "core/services/execution/lines.go",
		"if r.sendingLines != nil || !r.fitLocked() && !r.gaveUpLocked(now) {", "if false {", nil, []layer{engine}},
	{"a run that was stopped is left out of the inventory", agent,
		"for _, r := range a.allLocked() { // runs of earlier sessions",
		"for _, r := range a.allLocked() {\n\t\tif r.abandoned {\n\t\t\tcontinue\n\t\t}\n\t\t// also", nil,
		[]layer{engine}},
	{"a worker does not say that a stopped run has returned", run,
		"		a.letGoLocked(r)\n", "", nil, []layer{engine}},
	{"a preempted workload takes its slot back at once", decide, "		if t.RetryAfter != nil {\n			next.NotBefore",
		"		if false {\n			next.NotBefore", nil, []layer{sim}},
	{"heartbeats do not stop cancelled runs", reconcile, "case !strays(item, owned):", "case true:", nil,
		[]layer{sim}},
	{"a workload missing from inventories is never taken back", reconcile, "if len(lost) == 0 {",
		"if len(lost) >= 0 {", nil,
		[]layer{plane}},
	{"an ended session may report", execute, "t.Reported() && !y.live(w, t)", "t.Reported() && y == nil", nil,
		[]layer{onMemory, onPostgres}},
	{"log lines of a fenced report are kept", memory + "workloads.go",
		"if res.Outcome == domain.OutcomeApplied {\n\t\tr.keep(t)",
		"if res.Outcome != domain.OutcomeNotFound {\n\t\tr.keep(t)", nil, []layer{onMemory}},
	{"a result is kept unchecked", "core/domain/report.go", "	r.Result = CleanResult(r.Result)\n", "", nil,
		[]layer{plane, properties}},
	{"a percentage is applied unchecked", reports, "err != nil && r.Event == domain.EventProgress",
		"err != nil && r.Event == domain.EventStart", nil, []layer{plane}},
	{"an ended session may load checkpoints", reports,
		"if err := s.requireLive(ctx, ref); err != nil {\n\t\treturn ports.CheckpointData{}, err",
		"if err := ref.Validate(); err != nil {\n\t\treturn ports.CheckpointData{}, err", nil, []layer{plane}},
	{"another session loads a checkpoint", "core/services/checkpointing/service.go",
		"w.SessionID != ref.SessionID || w.Generation", "w.Generation", nil, []layer{plane}},
	{"other bytes are taken for a repetition", "core/services/checkpointing/service.go",
		"other, err = s.differs(ctx, up); other", "other, err = s.differs(ctx, up); false", nil, []layer{plane}},
	{"an ended session may poll", "core/services/controlplane/polls.go",
		"if err := s.requireLive(ctx, ref); err != nil {", "if err := ref.Validate(); err != nil {", nil,
		[]layer{plane}},
	{"a month is dropped before its lines are written", "core/services/retention/service.go",
		"	p.Until = until\n", "	_ = until\n", nil, []layer{archive}},
	{"a month is written before it is over", memory + "archive.go",
		"found && !month.AddDate(0, 1, 0).Add(domain.ArchiveMargin).After(r.s.now())", "found", nil,
		[]layer{onMemory, archive}},
	{"an object takes the place of the one before", lines, "	e.part++\n", "	e.part = 1\n", nil, []layer{archive}},
	{"a month counts as written before its last object is", lines, "case len(page) > 0:", "case len(page) >= pageLimit:",
		nil, []layer{archive}},
	{"lines of a customer that is deleted meanwhile stay", lines, "err != nil || gone {",
		"err != nil || gone && false {", nil, []layer{archive}},
	{"lines of a deleted customer stay", "core/services/erasure/service.go", "	if s.forgotten[id] {\n", "	if true {\n",
		nil, []layer{archive}},
	{"a waiting poll does not read assignments from the store", "core/services/controlplane/polls.go",
		"if commands, err = s.unheard(ctx, ref, opened); err != nil || len(commands) > 0 || left <= 0 {",
		"if err != nil || left <= 0 {", nil,
		[]layer{plane}},
}
