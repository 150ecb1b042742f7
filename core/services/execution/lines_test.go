package execution_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestLines_WhenMoreAreWrittenThanFit_TheNewestAreKept(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(_ context.Context, p ports.Progress) (domain.JSON, error) {
		for i := range 10_007 {
			p.Log(ports.LogEntry{Message: fmt.Sprint("line ", i)})
		}
		p.Log(ports.LogEntry{Level: "error", Message: "why it died"})
		return "", errDisconnected
	}}))
	b.assign("wl_1", 1)
	b.settle()
	lines := b.plane.linesOf("wl_1")
	require.Len(t, lines, 10_001)
	assert.Equal(t, "8 log lines were dropped: the run writes faster than they can be delivered", lines[0].Message)
	assert.Equal(t, "line 8", lines[1].Message, "the oldest are gone")
	assert.Equal(t, "why it died", lines[10_000].Message)
	assert.Equal(t, domain.EventFail, b.plane.last("wl_1").Event)
}

func TestLines_WhenTheyAreLong_TheirBytesAreBounded(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(_ context.Context, p ports.Progress) (domain.JSON, error) {
		for i := range 500 {
			p.Log(ports.LogEntry{Message: fmt.Sprint(i, " ", strings.Repeat("x", 8000))})
		}
		return "", nil
	}}))
	b.assign("wl_1", 1)
	b.settle()
	for _, r := range b.plane.reports {
		size := 0
		for _, l := range r.Lines {
			size += len(l.Message)
		}
		assert.LessOrEqual(t, size, 128<<10+200)
	}
	lines := b.plane.linesOf("wl_1")
	assert.Contains(t, lines[0].Message, "log lines were dropped")
	assert.True(t, strings.HasPrefix(lines[len(lines)-1].Message, "499 "))
	total := 0
	for _, l := range lines {
		total += len(l.Message)
	}
	assert.Less(t, total, 1<<20)
	assert.Greater(t, total, 900<<10)
}

func TestLines_WhenTheirCallIsNotAnswered_ComeAgainInOrderAndOnce(t *testing.T) {
	said := make(chan struct{})
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
		for i := range 20_000 {
			p.Log(ports.LogEntry{Message: fmt.Sprint(i)})
		}
		close(said)
		return untilCancelled(ctx, p)
	}}))
	fail := true
	b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
		if len(rs[0].Lines) > 0 && fail {
			return nil, errDisconnected
		}
		return nil, nil
	}
	b.assign("wl_1", 1)
	<-said
	require.ErrorIs(t, b.Flush(t.Context()), errDisconnected)
	require.ErrorIs(t, b.Flush(t.Context()), errDisconnected)
	fail = false
	b.flush()
	lines := b.plane.linesOf("wl_1")
	require.Len(t, lines, 10_001)
	assert.True(t, strings.HasPrefix(lines[0].Message, "10000 log lines were dropped"), lines[0].Message)
	for i, l := range lines[1:] {
		require.Equal(t, fmt.Sprint(10_000+i), l.Message)
	}
}

// The lines of a run commit no later than its outcome: before it or in it, also for a run that has
// just started.
func TestLines_OfARunThatEnds_StandNoLaterThanItsOutcome(t *testing.T) {
	for _, n := range []int{1, 499, 500, 501, 3000} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			b := newBench(t, 1, one(&script{execute: func(_ context.Context, p ports.Progress) (domain.JSON, error) {
				for i := range n {
					p.Log(ports.LogEntry{Message: fmt.Sprint(i)})
				}
				return "", nil
			}}))
			acknowledged := false
			b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
				for _, r := range rs {
					require.False(t, r.Event == domain.EventLog && !acknowledged,
						"the store takes lines of what has started")
				}
				acknowledged = true
				return nil, nil
			}
			b.assign("wl_1", 1)
			b.settle()
			es := b.plane.events("wl_1")
			assert.Equal(t, domain.EventComplete, es[len(es)-1])
			lines := b.plane.linesOf("wl_1")
			require.Len(t, lines, n)
			assert.Equal(t, fmt.Sprint(n-1), lines[n-1].Message)
			assert.NotEmpty(t, b.plane.last("wl_1").Lines, "the last ones are in the outcome itself")
			assert.True(t, b.Idle())
		})
	}
}

// A store that refuses lines must not cost the outcome.
func TestLines_WhenTheyCannotBeDelivered_TheOutcomeGoesWithTheNewest(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(_ context.Context, p ports.Progress) (domain.JSON, error) {
		for i := range 3000 {
			p.Log(ports.LogEntry{Message: fmt.Sprint(i)})
		}
		return "", nil
	}}))
	b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
		if rs[0].Event == domain.EventLog {
			return nil, errDisconnected
		}
		return nil, nil
	}
	b.assign("wl_1", 1)
	b.runs.Wait()
	require.Error(t, b.Flush(t.Context()))
	b.clock.advance(5 * time.Second)
	b.flush()
	last := b.plane.last("wl_1")
	require.Equal(t, domain.EventComplete, last.Event)
	assert.Equal(t, "2999", last.Lines[len(last.Lines)-1].Message)
	assert.True(t, strings.HasPrefix(last.Lines[0].Message, "2501 log lines were dropped"), last.Lines[0].Message)
	assert.True(t, b.Idle())
}
