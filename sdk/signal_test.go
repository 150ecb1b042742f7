package niyanta_test

import (
	"context"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

func TestWorkerRunUntilSignal_WhenASecondOneComes_SkipsTheRestOfTheDrain(t *testing.T) {
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	worker := niyanta.NewWorker(niyanta.WorkerOptions{
		URL: server.URL, Key: server.WorkerKey, Slots: 1, DrainTimeout: time.Hour, Log: quiet,
	})
	running, asked := make(chan struct{}), make(chan struct{})
	Slow.Handle(worker, func(ctx context.Context, task *niyanta.Task[struct{}, struct{}]) (struct{}, error) {
		task.OnCheckpoint(func() struct{} {
			close(asked)
			<-ctx.Done() // only the second signal ends it soon
			return struct{}{}
		})
		close(running)
		<-ctx.Done()
		return struct{}{}, context.Cause(ctx)
	})
	ended := make(chan error, 1)
	go func() { ended <- worker.RunUntilSignal(context.Background()) }()
	client, err := niyanta.NewClient(server.URL, server.CustomerKey)
	require.NoError(t, err)
	defer client.Close()
	_, err = Slow.Submit(t.Context(), client, struct{}{})
	require.NoError(t, err)
	<-running

	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	<-asked
	select {
	case err := <-ended:
		t.Fatalf("the drain has just begun: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	began := testfiles.StartStopwatch(t)
	require.NoError(t, syscall.Kill(syscall.Getpid(), syscall.SIGTERM))
	require.ErrorContains(t, <-ended, "cut short")
	assert.Less(t, began.Took(), time.Minute, "the drain may take an hour")
}
