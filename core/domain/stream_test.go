package domain

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// history is everything that happened to a workload.
type history struct {
	audit []AuditEvent
	lines []LogLine
}

// drawHistory returns the history of a workload with some runs. The clocks of the workers that wrote
// the lines are wrong by up to a minute.
func drawHistory(t *rapid.T) history {
	var h history
	now := time.Unix(1_000_000, 0)
	from := Status("")
	add := func(typ AuditType, to Status, generation int64) {
		now = now.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "pause")) * time.Second)
		h.audit = append(h.audit, AuditEvent{
			ID: int64(len(h.audit)*3 + 1), Type: typ, From: from, To: to, Generation: generation, At: now,
		})
		from = to
	}
	add(AuditCreated, StatusPending, 0)
	runs := rapid.IntRange(0, 4).Draw(t, "runs")
	for g := range int64(runs) {
		g++
		add(AuditScheduled, StatusScheduled, g)
		add(AuditStarted, StatusRunning, g)
		skew := time.Duration(rapid.IntRange(-60, 60).Draw(t, "skew")) * time.Second
		for range rapid.IntRange(0, 6).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "line") {
				h.lines = append(h.lines, LogLine{Seq: int64(len(h.lines) + 1), Generation: g, At: now.Add(skew)})
			} else {
				add(AuditProgress, StatusRunning, g)
			}
		}
		if g < int64(runs) {
			add(AuditRetried, StatusPending, g)
		} else if rapid.Bool().Draw(t, "ends") {
			add(AuditCompleted, StatusCompleted, g)
		}
	}
	return h
}

// page returns what a store returns behind a position.
func (h history) page(after Position, limit int) EventPage {
	var p EventPage
	for _, e := range h.audit {
		if e.ID > after.Audit {
			p.Audit = append(p.Audit, e)
		}
	}
	for _, l := range h.lines {
		if l.Seq > after.Log {
			p.Lines = append(p.Lines, l)
		}
	}
	p.MoreAudit, p.MoreLines = len(p.Audit) > limit, len(p.Lines) > limit
	p.Audit, p.Lines = p.Audit[:min(limit, len(p.Audit))], p.Lines[:min(limit, len(p.Lines))]
	return p
}

// read reads a history in pages of that size.
func (h history) read(t require.TestingT, after Position, limit int) []StreamEvent {
	var all []StreamEvent
	for {
		p := h.page(after, limit)
		events := p.Events(after)
		if len(p.Audit)+len(p.Lines) == 0 {
			require.Empty(t, events)
			return all
		}
		require.NotEmpty(t, events, "a page that is not empty has an event")
		all = append(all, events...)
		after = events[len(events)-1].Position
	}
}

// TestEventPage_Events_NeverLosesRepeatsOrMisplaces reads histories in pages of every size, and from
// the position of each event.
func TestEventPage_Events_NeverLosesRepeatsOrMisplaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t)
		all := h.read(t, Position{}, rapid.IntRange(1, 8).Draw(t, "limit"))
		require.Len(t, all, len(h.audit)+len(h.lines))
		var audit, lines int
		running := int64(0)
		for _, e := range all {
			if e.Line != nil {
				require.Equal(t, h.lines[lines], *e.Line)
				require.Equal(t, running, e.Line.Generation, "a line stands within its run")
				lines++
			} else {
				require.Equal(t, h.audit[audit], *e.Audit)
				audit++
				switch {
				case e.Audit.Type == AuditStarted:
					running = e.Audit.Generation
				case e.Audit.endsRun():
					running = 0
				}
			}
			require.Equal(t, Position{h.audit[max(audit, 1)-1].ID * min(int64(audit), 1), int64(lines)}, e.Position)
		}
		from := rapid.IntRange(0, len(all)-1).Draw(t, "from")
		rest := h.read(t, all[from].Position, rapid.IntRange(1, 8).Draw(t, "next limit"))
		require.Len(t, rest, len(all)-from-1, "no more and no less than the rest")
	})
}

func TestEventPage_Events_WhenLinesWereDropped_BeginWithOneGap(t *testing.T) {
	p := EventPage{Lines: []LogLine{{Seq: 11, Generation: 1}, {Seq: 12, Generation: 1}}}
	events := p.Events(Position{Audit: 5, Log: 3})
	require.Len(t, events, 3)
	require.Equal(t, StreamEvent{Kind: StreamGap, Position: Position{5, 10}, Dropped: 7}, events[0])
	require.Equal(t, Position{5, 12}, events[2].Position)
	require.Empty(t, (&EventPage{}).Events(Position{}))
}

func TestAuditEvent_StreamKind_FollowsTheStateReached(t *testing.T) {
	for to, want := range map[Status]StreamKind{
		StatusPending: StreamStatus, StatusRunning: StreamStatus, StatusPaused: StreamStatus,
		StatusCancelled: StreamStatus, StatusCompleted: StreamCompleted, StatusFailed: StreamFailed,
	} {
		e := AuditEvent{To: to}
		require.Equal(t, want, e.streamKind(), fmt.Sprint(to))
		require.Equal(t, to.Final(), (&StreamEvent{Audit: &e}).Final())
	}
}
