package execution_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// faulty returns, for each method of a workload, a factory of runs that call misbehave in it.
func faulty(misbehave func()) map[string]func() *script {
	wait := func(ctx context.Context, _ ports.Progress) (domain.JSON, error) {
		<-ctx.Done()
		return "", context.Cause(ctx)
	}
	return map[string]func() *script{
		"the factory": func() *script { misbehave(); return nil },
		"Init":        func() *script { return &script{init: func(ports.Task) error { misbehave(); return nil }} },
		"Execute": func() *script {
			return &script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
				misbehave()
				return "{}", nil
			}}
		},
		"Checkpoint": func() *script {
			return &script{execute: wait, snapshot: func() ([]byte, error) { misbehave(); return nil, nil }}
		},
		"Close": func() *script { return &script{close: func() error { misbehave(); return nil }} },
		"the error of Execute": func() *script {
			return &script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
				return "", badError{misbehave}
			}}
		},
	}
}

// badError is an error whose methods misbehave, like those of a nil pointer.
type badError struct{ misbehave func() }

func (e badError) Error() string { e.misbehave(); return "" }

func TestGuard_WhenTheRunsCodeDoesNotReturn_FailsThatRunOnly(t *testing.T) {
	for kind, misbehave := range map[string]func(){
		"panic":  func() { panic("oh") },
		"goexit": runtime.Goexit,
	} {
		for where, factory := range faulty(misbehave) {
			t.Run(kind+" in "+where, func(t *testing.T) {
				b := newBench(t, 1, map[string]func() *script{"bad": factory, "t": func() *script { return &script{} }})
				for _, id := range []domain.WorkloadID{"wl_1", "wl_2", "wl_3"} { // again and again
					b.assign(id, 1, func(a *ports.Assignment) { a.Type = "bad"; a.CheckpointIntervalMS = 1000 })
					if where == "Checkpoint" {
						waitRunning(t, b)
						b.clock.advance(time.Second)
						b.Tick()
					}
					b.settle()
					last := b.plane.last(id)
					require.Equal(t, domain.EventFail, last.Event)
					assert.Equal(t, kind, last.Failure.Type)
					assert.False(t, last.Failure.Permanent)
					assert.Contains(t, last.Failure.Message, where)
					lines := b.plane.linesOf(id)
					require.Len(t, lines, 1)
					assert.Equal(t, domain.LevelError, lines[0].Level)
					assert.Contains(t, lines[0].Message, where)
					assert.Contains(t, lines[0].Message, "guard_test.go", "the stack names the line")
					assert.True(t, b.Idle())
				}
				b.assign("wl_ok", 1)
				b.settle()
				assert.Equal(t, domain.EventComplete, b.plane.last("wl_ok").Event,
					"the slot is free and the worker lives")
			})
		}
	}
}

func TestGuard_WhenAFactoryMakesNothing_FailsTheRun(t *testing.T) {
	b := newBench(t, 1, one(nil))
	b.assign("wl_1", 1)
	b.settle()
	assert.Equal(t, "the factory of type \"t\" made no workload", b.plane.last("wl_1").Failure.Message)
	assert.True(t, b.Idle())
}

// A factory may be slow. Meanwhile the worker sends heartbeats, and takes and runs other work.
func TestGuard_WhenAFactoryBlocks_TheWorkerGoesOn(t *testing.T) {
	release := make(chan struct{})
	b := newBench(t, 2, map[string]func() *script{
		"slow": func() *script { <-release; return &script{} },
		"t":    func() *script { return &script{} },
	})
	defer func() { close(release); b.settle() }()
	b.assign("wl_slow", 1, func(a *ports.Assignment) { a.Type = "slow" })
	require.NoError(t, b.Beat(t.Context()))
	b.assign("wl_1", 1)
	require.Eventually(t, func() bool {
		b.flush()
		return b.plane.last("wl_1").Event == domain.EventComplete
	}, 10*time.Second, time.Millisecond)
}

func TestGuard_WhenCheckpointEndsItsGoroutine_ADrainStillStopsTheRun(t *testing.T) {
	for kind, misbehave := range map[string]func(){"panic": func() { panic("oh") }, "goexit": runtime.Goexit} {
		t.Run(kind, func(t *testing.T) {
			b := newBench(t, 1, map[string]func() *script{"t": faulty(misbehave)["Checkpoint"]})
			b.assign("wl_1", 1)
			waitRunning(t, b)
			b.Drain()
			b.settle()
			assert.Equal(t, kind, b.plane.last("wl_1").Failure.Type)
			assert.True(t, b.Idle())
		})
	}
}

// A run that was asked to stop is reported with what it returns.
func TestRun_WhenItEndsDuringTheGrace_IsReportedAsWhatItWas(t *testing.T) {
	permanent := &ports.RunError{Type: "exit_status", Permanent: true,
		Err: errors.New("exit status 65: no such customer")}
	transient := &ports.RunError{Type: "exit_status", Err: errors.New("exit status 1")}
	for name, c := range map[string]struct {
		err     func(ctx context.Context) error
		failure *domain.Failure
	}{
		"a permanent failure": {func(context.Context) error { return permanent },
			&domain.Failure{Type: "exit_status", Message: "exit status 65: no such customer", Permanent: true}},
		"a transient failure": {func(context.Context) error { return transient },
			&domain.Failure{Type: "exit_status", Message: "exit status 1"}},
		"a plain error": {func(context.Context) error { return errors.New("disk full") },
			&domain.Failure{Type: "error", Message: "disk full"}},
		"why it was stopped":       {context.Cause, nil},
		"the error of its context": {func(ctx context.Context) error { return ctx.Err() }, nil},
		"wrapped, and not a failure": {func(ctx context.Context) error {
			return &ports.RunError{Type: "request", Err: ctx.Err()}
		}, nil},
	} {
		for ask, event := range map[ports.CommandKind]domain.Event{
			ports.CommandDrain: domain.EventRelease, ports.CommandPause: domain.EventPaused,
			ports.CommandPreempt: domain.EventRelease,
		} {
			t.Run(name+" after "+string(ask), func(t *testing.T) {
				b := newBench(t, 1, one(&script{snapshot: state,
					execute: func(ctx context.Context, _ ports.Progress) (domain.JSON, error) {
						<-ctx.Done()
						return "", c.err(ctx)
					}}))
				b.assign("wl_1", 1)
				waitRunning(t, b)
				b.command(ask, "wl_1", 1)
				b.settle()
				last := b.plane.last("wl_1")
				if c.failure == nil {
					assert.Equal(t, event, last.Event)
					return
				}
				require.Equal(t, domain.EventFail, last.Event)
				assert.Equal(t, *c.failure, *last.Failure)
			})
		}
	}
}

func TestRun_WhenItFailsAfterItsTimeout_SaysBoth(t *testing.T) {
	b := newBench(t, 1, one(&script{execute: func(ctx context.Context, _ ports.Progress) (domain.JSON, error) {
		<-ctx.Done()
		return "", errors.New("the database is locked")
	}}))
	b.assign("wl_1", 1, func(a *ports.Assignment) { a.TimeoutMS = 5000 })
	waitRunning(t, b)
	b.clock.advance(5 * time.Second)
	b.Tick()
	b.settle()
	last := b.plane.last("wl_1")
	assert.Equal(t, "timeout", last.Failure.Type)
	assert.True(t, strings.HasSuffix(last.Failure.Message, "timed out after 5s: the database is locked"),
		last.Failure.Message)
}
