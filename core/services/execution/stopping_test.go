package execution_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
	"github.com/niyanta/niyanta/core/services/execution"
)

// deaf starts a run that ignores the end of its context until release is closed.
func deaf(t *testing.T) (b *bench, speak ports.Progress, release chan struct{}) {
	t.Helper()
	release = make(chan struct{})
	started := make(chan ports.Progress, 1)
	b = newBench(t, 2, map[string]func() *script{
		"t": func() *script { return &script{} },
		"deaf": func() *script {
			return &script{execute: func(_ context.Context, p ports.Progress) (domain.JSON, error) {
				started <- p
				<-release
				return `"late"`, nil
			}}
		},
	})
	b.assign("wl_deaf", 1, func(a *ports.Assignment) { a.Type = "deaf"; a.TimeoutMS = 5000 })
	speak = <-started
	waitRunning(t, b)
	return b, speak, release
}

func (b *bench) lastBeat() ports.Heartbeat {
	b.Helper()
	require.NoError(b, b.Beat(b.Context()))
	return b.plane.beats[len(b.plane.beats)-1]
}

func TestStopping_AnyRunThatHasNotReturned_StaysInTheInventoryAndKeepsItsSlot(t *testing.T) {
	for name, end := range map[string]func(*bench, ports.Progress){
		"cancelled": func(b *bench, _ ports.Progress) { b.command(ports.CommandCancel, "wl_deaf", 1) },
		"dropped":   func(b *bench, _ ports.Progress) { b.command(ports.CommandDrop, "wl_deaf", 1) },
		"timed out": func(b *bench, _ ports.Progress) { b.clock.advance(5 * time.Second); b.Tick() },
		"fenced": func(b *bench, speak ports.Progress) {
			b.plane.report = func([]ports.Report) ([]ports.ReportAnswer, error) {
				return []ports.ReportAnswer{{Outcome: domain.OutcomeFenced}}, nil
			}
			b.clock.advance(time.Second)
			require.NoError(b, b.Beat(b.Context()))
			speak.Report(1, "")
			b.flush()
			b.plane.report = nil
		},
		"of an earlier session": func(b *bench, _ ports.Progress) {
			b.plane.heartbeat = func(ports.Heartbeat) ([]ports.Command, error) {
				return nil, domain.NewError(domain.CodeFenced, "over")
			}
			require.Error(b, b.Beat(b.Context()))
			b.plane.heartbeat = nil
			b.plane.beats = nil
			require.NoError(b, b.Connect(b.Context()))
			require.Len(b, b.plane.beats, 1, "the new session says at once which slots are taken")
			assert.Equal(b, 1, b.plane.beats[0].FreeSlots)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, speak, release := deaf(t)
			end(b, speak)
			item := ports.InventoryItem{WorkloadID: "wl_deaf", Generation: 1, State: ports.RunStopping}
			beat := b.lastBeat()
			assert.Equal(t, []ports.InventoryItem{item}, beat.Inventory)
			assert.Equal(t, 1, beat.FreeSlots)
			for range 11 { // longer than the grace
				b.clock.advance(time.Second)
				assert.Equal(t, []ports.InventoryItem{item}, b.lastBeat().Inventory)
				b.Tick()
			}
			stuck := item
			stuck.Stuck = true
			b.plane.heartbeat = func(ports.Heartbeat) ([]ports.Command, error) { return nil, errors.New("no answer") }
			require.Error(t, b.Beat(t.Context()))
			b.plane.heartbeat = nil
			assert.Equal(t, []ports.InventoryItem{stuck}, b.lastBeat().Inventory, "it says that it is stuck")
			assert.Equal(t, []ports.InventoryItem{item}, b.lastBeat().Inventory, "once, when it was answered")
			b.assign("wl_1", 1)
			b.settleBut(1)
			assert.Equal(t, domain.EventComplete, b.plane.last("wl_1").Event, "the other slot works")
			close(release)
			b.settle()
			last := b.plane.last("wl_deaf")
			if name == "timed out" {
				assert.Equal(t, domain.EventComplete, last.Event, "late, but it was never told to stop for good")
			} else {
				assert.Equal(t, domain.EventRelease, last.Event, "the coordinator learns at once that the slot is free")
				assert.Equal(t, int64(1), last.Generation)
			}
			beat = b.lastBeat()
			assert.Empty(t, beat.Inventory)
			assert.Equal(t, 2, beat.FreeSlots)
		})
	}
}

// A handler may learn of its end from Checkpoint alone. It must not continue for ever because each
// save succeeds.
func TestStopping_WhenAHandlerOnlyAsksCheckpoint_FailsItAfterOneGrace(t *testing.T) {
	for kind, want := range map[ports.CommandKind]struct {
		cause error
		event domain.Event
	}{
		ports.CommandPause:   {ports.ErrPaused, domain.EventPaused},
		ports.CommandDrain:   {ports.ErrDraining, domain.EventRelease},
		ports.CommandPreempt: {ports.ErrPreempted, domain.EventRelease},
	} {
		t.Run(string(kind), func(t *testing.T) {
			turn, saved := make(chan struct{}), make(chan error)
			defer close(turn)
			b := newBench(t, 1, one(&script{execute: func(ctx context.Context, p ports.Progress) (domain.JSON, error) {
				for range turn {
					err := p.Checkpoint(ctx, []byte("x"), nil, "")
					saved <- err
					if err != nil {
						return "", err
					}
				}
				return "", nil
			}}))
			save := func() error { turn <- struct{}{}; return <-saved }
			b.assign("wl_1", 1)
			require.NoError(t, save())
			b.command(kind, "wl_1", 1)
			require.Eventually(t, func() bool { return b.lastBeat().Inventory[0].State == ports.RunStopping },
				20*time.Second, time.Millisecond)
			for range execution.DefaultStopGrace/time.Second - 1 {
				b.clock.advance(time.Second)
				require.NoError(t, save(), "within the grace it may save, more than once")
			}
			b.clock.advance(time.Second)
			require.ErrorIs(t, save(), want.cause)
			b.settle()
			assert.Equal(t, want.event, b.plane.last("wl_1").Event)
			assert.Empty(t, b.lastBeat().Inventory)
		})
	}
}

// The coordinator waits for the inventory to know which slots are free.
func TestStopping_WhatTheCoordinatorWaitsFor_HastensTheHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		var beats atomic.Int64
		p := &plane{interval: time.Hour, beating: func(context.Context, ports.Heartbeat) error { beats.Add(1); return nil }}
		w := work(t, p, time.Minute, func(c *execution.Config) {
			c.Slots = 1
			c.StopGrace = 200 * time.Millisecond
			c.Types["deaf"] = func() ports.Workload {
				return &script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
					<-free
					return "", nil
				}}
			}
		})
		w.assign("wl_deaf", "deaf")
		w.reported("wl_deaf", domain.EventStart)
		beat := func(n int64, why string) {
			t.Helper()
			require.Eventually(t, func() bool { return beats.Load() == n }, 20*time.Second, time.Millisecond, why)
		}
		beat(0, "none is due")
		w.assign("wl_1", "t")
		w.reported("wl_1", domain.EventDecline)
		beat(1, "a full worker said no")
		p.commands <- ports.Command{Kind: ports.CommandCancel, SessionID: w.session, WorkloadID: "wl_deaf", Generation: 1}
		beat(2, "a run is stuck")
		close(free)
		w.reported("wl_deaf", domain.EventRelease) // the slot has come free
		w.term()
		require.NoError(t, w.ends(20*time.Second, "nothing runs"))
	})
}
