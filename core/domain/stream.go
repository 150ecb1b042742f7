package domain

// Position is how far the events of a workload, or of a customer's workloads, were read.
type Position struct {
	// Audit is the id of the last audit event that was read, Log the number of the last log line.
	Audit, Log int64
}

// Horizon tells how far the audit can be read without missing an event. Ids are given out before
// events are committed, and transactions commit in another order than they got their ids.
type Horizon struct {
	// Settled is the id up to which no event will appear any more.
	Settled int64
	// Last is the newest id that was given out. The events between Settled and Last may be on their
	// way.
	Last int64
}

// EventPage is what happened to a workload behind a position, as it was at one instant.
type EventPage struct {
	// Audit are the audit events, Lines the log lines, both oldest first.
	Audit []AuditEvent
	Lines []LogLine
	// MoreAudit and MoreLines report whether there are more than were asked for.
	MoreAudit, MoreLines bool
}

// StreamKind says what an event of a stream tells.
type StreamKind string

// The kinds of events. Every other change of a workload than its completion or failure is a status
// update.
const (
	StreamStatus    StreamKind = "status_update"
	StreamLog       StreamKind = "log_line"
	StreamCompleted StreamKind = "completed"
	StreamFailed    StreamKind = "failed"
	StreamGap       StreamKind = "gap"
)

// StreamEvent is one event of a stream. Exactly one of Audit, Line and Dropped is set, by its kind.
type StreamEvent struct {
	Kind StreamKind
	// Position is the position behind the event: a reader that continues there gets what follows.
	Position Position
	// Audit belongs to status updates, completions and failures.
	Audit *AuditEvent
	// Line belongs to log lines.
	Line *LogLine
	// Dropped belongs to gaps: how many log lines were dropped before they were read.
	Dropped int64
	// Result belongs to completions, Failure to failures.
	Result  JSON
	Failure *Failure
}

// Final reports whether the event is the last one of its workload.
func (e *StreamEvent) Final() bool { return e.Audit != nil && e.Audit.To.Final() }

// Events puts a page that was read behind a position in the order in which a stream tells it. Audit
// events keep their order, and so do log lines. The lines of a run stand behind its beginning and
// before its end; within that, time decides. What cannot be placed before more is read is left out,
// so that it belongs to the next page. A page that is not empty has at least one event.
func (p *EventPage) Events(after Position) []StreamEvent {
	events := make([]StreamEvent, 0, len(p.Audit)+len(p.Lines)+1)
	at := after
	audit, lines := p.Audit, p.Lines
	if len(lines) > 0 && lines[0].Seq > at.Log+1 {
		dropped := lines[0].Seq - at.Log - 1
		at.Log += dropped
		events = append(events, StreamEvent{Kind: StreamGap, Position: at, Dropped: dropped})
	}
	for {
		var e *AuditEvent
		var l *LogLine
		if len(audit) > 0 {
			e = &audit[0]
		}
		if len(lines) > 0 {
			l = &lines[0]
		}
		switch {
		case l != nil && (e == nil && !p.MoreAudit || e != nil && l.precedes(e)):
			at.Log, lines = l.Seq, lines[1:]
			events = append(events, StreamEvent{Kind: StreamLog, Position: at, Line: l})
		case e != nil && (l != nil || !p.MoreLines || !e.endsRun()):
			at.Audit, audit = e.ID, audit[1:]
			events = append(events, StreamEvent{Kind: e.streamKind(), Position: at, Audit: e})
		default:
			return events
		}
	}
}

// precedes reports whether a stream tells the line before the audit event.
func (l *LogLine) precedes(e *AuditEvent) bool {
	switch {
	case l.Generation < e.Generation:
		return true
	case l.Generation > e.Generation:
		return false
	case e.endsRun():
		return true
	case e.Type == AuditScheduled || e.Type == AuditStarted:
		return false
	}
	return !l.At.After(e.At)
}

// endsRun reports whether no worker holds the workload after the event, but one did before it.
func (e *AuditEvent) endsRun() bool { return e.From.Held() && !e.To.Held() }

// streamKind is the kind of event that a stream tells the audit event as.
func (e *AuditEvent) streamKind() StreamKind {
	switch e.To {
	case StatusCompleted:
		return StreamCompleted
	case StatusFailed:
		return StreamFailed
	default:
		return StreamStatus
	}
}

// StatusEvents returns audit events as a stream of a customer's workloads tells them.
func StatusEvents(audit []AuditEvent) []StreamEvent {
	events := make([]StreamEvent, len(audit))
	for i := range audit {
		e := &audit[i]
		events[i] = StreamEvent{Kind: e.streamKind(), Position: Position{Audit: e.ID}, Audit: e}
	}
	return events
}
