package execution_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// counted counts the runs that began.
type counted struct{ atomic.Int32 }

func (c *counted) script() *script {
	return &script{execute: func(context.Context, ports.Progress) (domain.JSON, error) {
		c.Add(1)
		return "1", nil
	}}
}

// TestRun_ThatWasAssignedBefore_BeginsOnceItsStartIsKnown: its code may be what ended the worker before.
// The next death must count, which it does only if the store knows of the start.
func TestRun_ThatWasAssignedBefore_BeginsOnceItsStartIsKnown(t *testing.T) {
	var began counted
	b := newBench(t, 1, one(began.script()))
	tries := 0
	b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
		if rs[0].Event != domain.EventStart {
			return nil, nil
		}
		assert.Zero(t, began.Load(), "no coordinator has answered")
		if tries++; tries < 3 {
			return nil, errDisconnected
		}
		return nil, nil
	}
	b.assign("wl_1", 2)
	b.settle()
	assert.EqualValues(t, 1, began.Load())
	assert.Equal(t, 3, tries)
	assert.Equal(t, []domain.Event{domain.EventStart, domain.EventComplete}, b.plane.events("wl_1"))
}

// TestRun_WhoseStartIsFenced_NeverBegins: it may have been taken away after a start whose answer got
// lost.
func TestRun_WhoseStartIsFenced_NeverBegins(t *testing.T) {
	for name, answer := range map[string]ports.ReportAnswer{
		"fenced":                      {Outcome: domain.OutcomeFenced},
		"known, and cancelled since":  {Outcome: domain.OutcomeAlready, Status: domain.StatusCancelled},
		"known, and taken away since": {Outcome: domain.OutcomeAlready, Status: domain.StatusPending},
	} {
		t.Run(name, func(t *testing.T) {
			var began counted
			b := newBench(t, 1, one(began.script()))
			b.plane.report = func(rs []ports.Report) ([]ports.ReportAnswer, error) {
				answer.ReportID = rs[0].ID
				return []ports.ReportAnswer{answer}, nil
			}
			b.assign("wl_1", 2)
			b.runs.Wait()
			assert.Zero(t, began.Load())
			assert.Empty(t, b.plane.reports)
		})
	}
}
