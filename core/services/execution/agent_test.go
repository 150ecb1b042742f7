package execution_test

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

func TestRun_WhenItIsShort_IsStartedAndCompletedInOneBatch(t *testing.T) {
	batches := 0
	b := newBench(t, 1, one(&script{}))
	b.plane.report = func([]ports.Report) ([]ports.ReportAnswer, error) { batches++; return nil, nil }
	b.assign("wl_1", 1)
	b.settle()
	assert.Equal(t, []domain.Event{domain.EventStart, domain.EventComplete}, b.plane.events("wl_1"))
	assert.Equal(t, domain.JSON(`{"ok":true}`), b.plane.last("wl_1").Result)
	assert.Equal(t, 1, batches)
	assert.True(t, b.Idle())
}

func TestRun_HoweverItEnds_IsReportedAsWhatItWas(t *testing.T) {
	after := 3 * time.Second
	for name, c := range map[string]struct {
		script  *script
		failure domain.Failure
	}{
		"an error is transient": {&script{execute: func(
			context.Context, ports.Progress,
		) (domain.JSON, error) {
			return "", errors.New("boom")
		}},
			domain.Failure{Type: "error", Message: "boom"}},
		"a run error says more": {&script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
			return "", &ports.RunError{Type: "exit_status", Permanent: true, RetryAfter: &after, Err: errors.New("64")}
		}}, domain.Failure{Type: "exit_status", Message: "64", Permanent: true}},
		"init may fail": {&script{init: func(ports.Task) error { return errors.New("no") }},
			domain.Failure{Type: "error", Message: "no"}},
		"a panic is a failure": {&script{execute: func(
			context.Context, ports.Progress,
		) (domain.JSON, error) {
			panic("oh")
		}},
			domain.Failure{Type: "panic", Message: "panic in Execute: oh"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.script.closed = make(chan struct{})
			b := newBench(t, 1, one(c.script))
			b.assign("wl_1", 1)
			b.settle()
			last := b.plane.last("wl_1")
			require.Equal(t, domain.EventFail, last.Event)
			assert.Equal(t, c.failure, *last.Failure)
			if c.failure.Type == "exit_status" {
				assert.Equal(t, int64(3000), *last.RetryAfterMS)
			}
			<-c.script.closed // Close is called in each case
		})
	}
}

func TestAssign_WhenItCannotBeTaken_IsDeclined(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: untilCancelled}))
	b.assign("wl_1", 1)
	b.assign("wl_2", 1)
	b.assign("wl_3", 1, func(a *ports.Assignment) { a.Type = "unknown" })
	b.Drain()
	b.assign("wl_4", 1)
	b.settle()
	for _, id := range []domain.WorkloadID{"wl_2", "wl_3", "wl_4"} {
		assert.Equal(t, []domain.Event{domain.EventDecline}, b.plane.events(id), id)
	}
	assert.Equal(t, []domain.Event{domain.EventStart, domain.EventRelease}, b.plane.events("wl_1"))
}

// A message may be later than a whole run. After a cancel was acknowledged or a result committed,
// nothing of the workload starts again.
func TestAssign_WhenItsRunHasEnded_DoesNotStartItAgain(t *testing.T) {
	b := newBench(t, 5, one(&script{}))
	b.assign("wl_1", 2)
	b.settle()
	for _, late := range []int64{2, 1} {
		b.assign("wl_1", late)
		b.settle()
	}
	assert.Equal(t, []domain.Event{domain.EventStart, domain.EventComplete}, b.plane.events("wl_1"))
	b.assign("wl_1", 3)
	b.settle()
	assert.Len(t, b.plane.events("wl_1"), 4, "a new generation does")
}

func TestCommands_RepeatedAndReordered_AreHarmless(t *testing.T) {
	b := newBench(t, 5, one(&script{execute: untilCancelled}))
	b.assign("wl_1", 2)
	b.assign("wl_1", 2) // repeated
	b.assign("wl_1", 1) // late
	b.command(ports.CommandCancel, "wl_1", 1)
	b.command(ports.CommandDrop, "wl_9", 1)
	b.Handle(ports.Command{Kind: ports.CommandCancel, SessionID: "another", WorkloadID: "wl_1", Generation: 2})
	b.Handle(ports.Command{Kind: "nonsense", SessionID: b.session(), WorkloadID: "wl_1", Generation: 2})
	b.flush()
	assert.Equal(t, []domain.Event{domain.EventStart}, b.plane.events("wl_1"))
	b.assign("wl_1", 3) // newer: the older run is stopped and not reported
	b.flush()
	assert.Equal(t, []domain.Event{domain.EventStart, domain.EventStart}, b.plane.events("wl_1")[:2])
	assert.Equal(t, int64(3), b.plane.reports[1].Generation)
	b.command(ports.CommandCancel, "wl_1", 3)
	b.settle()
	assert.Equal(t, []domain.Event{domain.EventStart, domain.EventStart}, b.plane.events("wl_1")[:2])
	b.onlyLetGo("wl_1", 2)
	assert.True(t, b.Idle())
}

func TestReports_WhenTheirAnswerIsLost_AreSentAgainUnchanged(t *testing.T) {
	b := newBench(t, 1, one(&script{}))
	var seen []string
	b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
		for _, r := range rs {
			seen = append(seen, r.ID)
		}
		if len(seen) == 2 {
			return nil, errDisconnected // committed, but the answer is lost
		}
		return nil, nil
	}
	b.assign("wl_1", 1)
	b.runs.Wait()
	require.ErrorIs(t, b.Flush(t.Context()), errDisconnected)
	require.False(t, b.Idle())
	require.NoError(t, b.Beat(t.Context()))
	require.Equal(t, []ports.InventoryItem{{WorkloadID: "wl_1", Generation: 1, State: ports.RunReporting}},
		b.plane.beats[0].Inventory,
		"it stays in the inventory until its end is acknowledged")
	b.flush()
	assert.Equal(t, seen[:2], seen[2:])
	assert.True(t, b.Idle())
}

func TestReports_WhenFenced_StopTheRun(t *testing.T) {
	for _, out := range []domain.Outcome{domain.OutcomeFenced, domain.OutcomeNotFound} {
		cause, started := make(chan error, 1), make(chan struct{})
		b := newBench(t, 1, one(&script{execute: func(ctx context.Context, _ ports.Progress) (domain.JSON, error) {
			close(started)
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return `{}`, nil
		}}))
		b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
			return []ports.ReportAnswer{{Outcome: out}}, nil
		}
		b.assign("wl_1", 1)
		<-started
		b.flush()
		require.ErrorIs(t, <-cause, ports.ErrFenced)
		b.settle()
		assert.Empty(t, b.plane.events("wl_1"), "nothing more of it is reported")
		assert.True(t, b.Idle())
	}
}

func TestReports_WhenTheWorkloadWasCancelled_TellTheRunWhy(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: untilCancelled}))
	cancelled := []ports.ReportAnswer{{Outcome: domain.OutcomeFenced, Status: domain.StatusCancelled}}
	b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
		if rs[0].Event == domain.EventStart {
			return cancelled, nil
		}
		return nil, nil
	}
	b.assign("wl_1", 1)
	b.flush()
	b.runs.Wait()
	b.flush()
	b.onlyLetGo("wl_1", 0)
	assert.True(t, b.Idle())
}

func TestReports_WhenOneIsRefused_DoNotHoldUpOthers(t *testing.T) {
	b := newBench(t, 2, one(&script{}))
	b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
		for _, r := range rs {
			if r.WorkloadID == "wl_bad" && r.Event == domain.EventComplete {
				return nil, domain.Invalid("result", "no")
			}
		}
		return nil, nil
	}
	b.assign("wl_bad", 1)
	b.assign("wl_ok", 1)
	b.settle()
	b.flush()
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_ok").Event)
	assert.Equal(t, domain.EventStart, b.plane.last("wl_bad").Event, "a success never becomes a failure")
	assert.True(t, b.Idle())
}

func TestAgent_WhenARunSucceeds_ReportsASuccessWhateverItReturned(t *testing.T) {
	for name, result := range map[string]domain.JSON{
		"NUL": `{"a":"\u0000"}`, "a key twice": `{"a":1,"a":2}`, "not JSON": "{", "bytes": "\xff",
		"70 levels": domain.JSON(strings.Repeat("[", 70) + strings.Repeat("]", 70)),
		"large":     domain.JSON(`"` + strings.Repeat("x", 2<<20) + `"`), "sound": `{"a":1}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1, one(&script{execute: func(
				context.Context, ports.Progress,
			) (domain.JSON, error) {
				return result, nil
			}}))
			b.assign("wl_1", 1)
			b.settle()
			last := b.plane.last("wl_1")
			require.Equal(t, domain.EventComplete, last.Event)
			assert.Equal(t, domain.CleanResult(result), last.Result)
		})
	}
}

func TestAgent_WhenAReportIsTooLargeForTheCarrier_SendsItInPiecesAndInOrder(t *testing.T) {
	const limit = 100_000
	b := newBench(t, 1, one(&script{execute: func(_ context.Context, p ports.Progress) (domain.JSON, error) {
		for i := range 100 {
			p.Log(ports.LogEntry{Message: strconv.Itoa(i) + strings.Repeat(".", 5000)})
		}
		return domain.JSON(`"` + strings.Repeat("x", 1<<20-2) + `"`), nil
	}}))
	b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
		if raw, err := json.Marshal(rs); err != nil || len(raw) > limit {
			return nil, domain.NewError(domain.CodeTooLarge, "too large")
		}
		return nil, nil
	}
	b.assign("wl_1", 1)
	b.settle()
	b.flush()
	last := b.plane.last("wl_1")
	require.Equal(t, domain.EventComplete, last.Event)
	assert.Contains(t, string(last.Result), domain.FlawTooLarge)
	n := 0
	for _, r := range b.plane.reports {
		for _, l := range r.Lines {
			assert.True(t, strings.HasPrefix(l.Message, strconv.Itoa(n)+"."), "line %d: %.5s", n, l.Message)
			n++
		}
	}
	assert.Equal(t, 100, n)
	assert.True(t, b.Idle())
}

func TestRun_AfterItsTimeout_Fails(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: untilCancelled}))
	b.assign("wl_1", 1, func(a *ports.Assignment) { a.TimeoutMS = 5000 })
	require.Eventually(t, func() bool {
		b.clock.advance(time.Second)
		_ = b.Beat(t.Context())
		b.Tick()
		b.flush()
		return b.Idle()
	}, 30*time.Second, time.Millisecond)
	assert.Equal(t, domain.Failure{Type: "timeout", Message: "timed out after 5s"}, *b.plane.last("wl_1").Failure)
}

func TestAgent_WhenFull_NeverRunsMoreThanItsSlots(t *testing.T) {
	started, release := make(chan struct{}, 3), make(chan struct{})
	b := newBench(t, 2, one(&script{execute: func(
		context.Context, ports.Progress,
	) (domain.JSON, error) {
		started <- struct{}{}
		<-release
		return "", nil
	}}))
	b.assign("wl_1", 1)
	b.assign("wl_2", 1)
	<-started
	<-started
	b.command(ports.CommandCancel, "wl_1", 1) // ignores its context: its slot stays taken
	b.clock.advance(11 * time.Second)
	require.NoError(t, b.Beat(t.Context()))
	b.Tick()
	b.assign("wl_3", 1)
	b.flush()
	assert.Equal(t, []domain.Event{domain.EventDecline}, b.plane.events("wl_3"))
	assert.Zero(t, b.plane.beats[0].FreeSlots)
	close(release)
	b.settle()
	b.assign("wl_4", 1)
	b.settle()
	assert.Equal(t, domain.EventComplete, b.plane.last("wl_4").Event)
}
