package link_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/adapters/internal/link"
)

func TestLink_WhenItsConnectionFallsSilent_ReplacesItAndLogsEachChangeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		l := link.New("broker:4222", slog.New(slog.NewTextHandler(&log, nil)))
		var silent atomic.Bool
		var replaced atomic.Int32
		probe := func(ctx context.Context) error {
			if silent.Load() {
				<-ctx.Done()
				return link.ErrSilent
			}
			return nil
		}
		ctx, stop := context.WithCancel(t.Context())
		go l.Watch(ctx, probe, func(context.Context) { replaced.Add(1); silent.Store(false) })
		time.Sleep(time.Minute)
		require.True(t, l.IsConnected())
		silent.Store(true)
		request, end := l.WhileConnected(ctx, time.Minute)
		defer end()
		<-request.Done()
		assert.False(t, l.IsConnected())
		assert.Zero(t, replaced.Load(), "one probe may be lost")
		late, end := l.WhileConnected(ctx, time.Minute)
		defer end()
		require.Error(t, late.Err(), "nothing is asked while disconnected")
		time.Sleep(5 * time.Second)
		assert.Equal(t, int32(1), replaced.Load())
		assert.True(t, l.IsConnected())
		assert.Equal(t, 1, strings.Count(log.String(), `level=WARN msg="bus disconnected" address=broker:4222`), log.String())
		assert.Equal(t, 1, strings.Count(log.String(), `level=INFO msg="bus reconnected" address=broker:4222`), log.String())
		assert.Equal(t, 2, strings.Count(log.String(), "\n"), log.String())
		stop()
		synctest.Wait()
	})
}

func TestLink_WhenAnotherReportsTheEnd_LeavesItToThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := link.New("broker:4222", slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		go l.Watch(ctx, func(context.Context) error { return link.ErrReported }, func(context.Context) {
			t.Error("replaced")
		})
		time.Sleep(time.Minute)
		assert.True(t, l.IsConnected())
		l.Disconnected(errors.New("closed"))
		time.Sleep(time.Minute)
		assert.False(t, l.IsConnected())
		stop()
		synctest.Wait()
	})
}
