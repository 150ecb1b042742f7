package bootstrap

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/services/coordinator"
)

func TestLoop_WokenWhileItRests_MakesOneRoundWhenItHasRested(t *testing.T) {
	const rest = 300 * time.Millisecond
	rounds, woken, ended := make(chan time.Time), make(chan struct{}, 1), make(chan struct{})
	ctx, stop := context.WithCancel(t.Context())
	loop := coordinator.Loop{Name: "test", Tick: func(context.Context) (coordinator.Round, error) {
		select {
		case rounds <- time.Now():
		case <-ctx.Done():
		}
		return coordinator.Round{Next: time.Hour, Rest: rest}, nil
	}}
	go func() {
		defer close(ended)
		runLoop(ctx, loop, woken, func(string) {}, silent)
	}()
	first := <-rounds
	woken <- struct{}{}
	second := <-rounds
	assert.GreaterOrEqual(t, second.Sub(first), rest)
	select {
	case <-rounds:
		require.Fail(t, "a round without a reason")
	case <-time.After(rest + 50*time.Millisecond):
	}
	woken <- struct{}{}
	third := <-rounds
	assert.Less(t, third.Sub(second), time.Minute, "a loop that has rested is woken at once")
	stop()
	<-ended
}
