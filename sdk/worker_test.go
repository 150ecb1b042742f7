package niyanta_test

import (
	"context"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/testfiles"
	niyanta "github.com/niyanta/niyanta/sdk"
)

type badIn struct {
	How string
}

// Bad is a type whose handler does not return, in the way that its input says.
var Bad = niyanta.Define[badIn, struct{}, unencodable]("bad")

// unencodable panics when it is encoded.
type unencodable struct{}

// MarshalJSON implements json.Marshaler.
func (unencodable) MarshalJSON() ([]byte, error) { panic("oh") }

func bad(ctx context.Context, t *niyanta.Task[badIn, struct{}]) (unencodable, error) {
	switch t.Input().How {
	case "panic":
		panic("oh")
	case "goexit":
		runtime.Goexit()
	case "snapshot":
		t.OnCheckpoint(func() struct{} { panic("oh") })
		t.Report(niyanta.Progress{Percent: 50}) // a checkpoint is due
		<-ctx.Done()
		return unencodable{}, context.Cause(ctx)
	}
	return unencodable{}, nil
}

func TestWorker_WhenHandlersDoNotReturn_FailsTheirRunsAndLives(t *testing.T) {
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	ctx, stop := context.WithCancel(t.Context())
	worker := niyanta.NewWorker(niyanta.WorkerOptions{URL: server.URL, Key: server.WorkerKey, Slots: 1, Log: quiet})
	Bad.Handle(worker, bad)
	Count.Handle(worker, count)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	defer func() { stop(); assert.NoError(t, <-ended) }()

	client, err := niyanta.NewClient(server.URL, server.CustomerKey)
	require.NoError(t, err)
	defer client.Close()
	_, err = submit(ctx, client, CountIn{N: 1}) // the worker is there
	require.NoError(t, err)
	_, err = client.CreateConfig(ctx, niyanta.ConfigInput{WorkloadType: "bad", MaxRetries: new(int)})
	require.NoError(t, err)
	for how, failure := range map[string]string{"panic": "panic", "goexit": "goexit", "snapshot": "panic",
		"result": "panic"} {
		run, err := Bad.Submit(ctx, client, badIn{How: how})
		require.NoError(t, err)
		bounded, cancel := context.WithTimeout(ctx, time.Minute)
		_, err = run.Result(bounded)
		cancel()
		var failed *niyanta.FailedError
		require.ErrorAs(t, err, &failed, how)
		assert.Equal(t, failure, failed.Type, how)
	}
	run, err := submit(ctx, client, CountIn{N: 2})
	require.NoError(t, err)
	out, err := run.Result(ctx)
	require.NoError(t, err)
	assert.Equal(t, 2, out.Counted, "the worker lives and has its slot")
}

// Slow is a type whose handler runs until its context ends.
var Slow = niyanta.Define[struct{}, struct{}, struct{}]("slow")

func TestWorker_WhenAYoungRunIsCancelled_ItsSlotIsFreeAtOnce(t *testing.T) {
	t.Setenv("NIYANTA_HEARTBEAT_INTERVAL", "3m")
	t.Setenv("NIYANTA_WORKER_LEASE", "10m")
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	ctx, stop := context.WithCancel(t.Context())
	worker := niyanta.NewWorker(niyanta.WorkerOptions{URL: server.URL, Key: server.WorkerKey, Slots: 1, Log: quiet})
	running := make(chan struct{}, 1)
	Slow.Handle(worker, func(ctx context.Context, _ *niyanta.Task[struct{}, struct{}]) (struct{}, error) {
		running <- struct{}{}
		<-ctx.Done()
		return struct{}{}, context.Cause(ctx)
	})
	Count.Handle(worker, count)
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	defer func() { stop(); assert.NoError(t, <-ended) }()

	client, err := niyanta.NewClient(server.URL, server.CustomerKey)
	require.NoError(t, err)
	defer client.Close()
	first, err := submit(ctx, client, CountIn{N: 1}) // the worker is there
	require.NoError(t, err)
	_, err = first.Result(ctx)
	require.NoError(t, err)
	for range 3 {
		slow, err := Slow.Submit(ctx, client, struct{}{})
		require.NoError(t, err)
		<-running
		_, err = client.Cancel(ctx, slow.ID, "", "")
		require.NoError(t, err)
		next, err := submit(ctx, client, CountIn{N: 1})
		require.NoError(t, err)
		began := testfiles.StartStopwatch(t)
		_, err = next.Result(ctx)
		require.NoError(t, err)
		assert.Less(t, began.Took(), 30*time.Second, "it waits for no heartbeat")
	}
}

func TestLogger_OfAHandler_WritesTheWorkloadsLog(t *testing.T) {
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	client, err := niyanta.NewClient(server.URL, server.CustomerKey)
	require.NoError(t, err)
	defer client.Close()
	talk := niyanta.Define[struct{}, struct{}, struct{}]("talk")
	worker := niyanta.NewWorker(niyanta.WorkerOptions{URL: server.URL, Key: server.WorkerKey, Log: quiet})
	talk.Handle(worker, func(ctx context.Context, _ *niyanta.Task[struct{}, struct{}]) (struct{}, error) {
		log := niyanta.Logger(ctx).With("file", "a.csv")
		log.Debug("opened")
		log.Warn("a row is odd", "row", 7)
		return struct{}{}, nil
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	defer func() { stop(); assert.NoError(t, <-ended) }()
	run, err := talk.Submit(ctx, client, struct{}{})
	require.NoError(t, err)
	_, err = run.Result(ctx)
	require.NoError(t, err)
	lines, err := niyanta.Collect(client.LogLines(ctx, run.ID, niyanta.LogParams{}))
	require.NoError(t, err)
	require.Len(t, lines, 2)
	assert.Equal(t, niyanta.LogDebug, lines[0].Level)
	assert.JSONEq(t, `{"file":"a.csv"}`, string(lines[0].Details))
	assert.Equal(t, niyanta.LogWarn, lines[1].Level)
	assert.Equal(t, "a row is odd", lines[1].Message)
	assert.JSONEq(t, `{"file":"a.csv","row":7}`, string(lines[1].Details))
}

func TestWorker_WithAnAddress_AnswersProbes(t *testing.T) {
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	taken, err := net.Listen("tcp", net.JoinHostPort(testfiles.OwnHost(), "0")) // the address is free later
	require.NoError(t, err)
	addr := taken.Addr().String()
	options := niyanta.WorkerOptions{URL: server.URL, Key: server.WorkerKey, Log: quiet, HTTPAddr: addr}
	worker := niyanta.NewWorker(options)
	Count.Handle(worker, count)
	require.ErrorContains(t, worker.Run(t.Context()), "another process listens on "+addr)
	require.NoError(t, taken.Close())

	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	status := func(path string) int {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			return 0
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	require.Eventually(t, func() bool { return status("/ready") == 200 }, 20*time.Second, 5*time.Millisecond)
	assert.Equal(t, 200, status("/health"))
	assert.Equal(t, 200, status("/metrics"))
	stop()
	require.NoError(t, <-ended)
	assert.Zero(t, status("/health"))
}

func TestTask_OfAWorkloadThatAHandlerSubmits_BelongsToTheSameRequestAndTrace(t *testing.T) {
	server := exampleServer()
	defer func() { assert.NoError(t, server.Close()) }()
	client, err := niyanta.NewClient(server.URL, server.CustomerKey)
	require.NoError(t, err)
	defer client.Close()
	type origin struct{ RequestID, TraceParent string }
	child := niyanta.Define[struct{}, struct{}, origin]("child")
	parent := niyanta.Define[struct{}, struct{}, []origin]("parent")
	worker := niyanta.NewWorker(niyanta.WorkerOptions{URL: server.URL, Key: server.WorkerKey, Log: quiet})
	child.Handle(worker, func(_ context.Context, t *niyanta.Task[struct{}, struct{}]) (origin, error) {
		return origin{t.RequestID(), t.TraceParent()}, nil
	})
	parent.Handle(worker, func(ctx context.Context, t *niyanta.Task[struct{}, struct{}]) ([]origin, error) {
		run, err := child.Submit(ctx, client, struct{}{})
		if err != nil {
			return nil, err
		}
		of, err := run.Result(ctx)
		return []origin{{t.RequestID(), t.TraceParent()}, of}, err
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- worker.Run(ctx) }()
	defer func() { stop(); assert.NoError(t, <-ended) }()
	run, err := parent.Submit(ctx, client, struct{}{})
	require.NoError(t, err)
	got, err := run.Result(ctx)
	require.NoError(t, err)
	require.Len(t, got, 2)
	assert.Regexp(t, "^req_", got[0].RequestID)
	assert.Equal(t, got[0].RequestID, got[1].RequestID)
	assert.Regexp(t, "^00-[0-9a-f]{32}-[0-9a-f]{16}-01$", got[0].TraceParent)
	assert.Equal(t, got[0].TraceParent[:36], got[1].TraceParent[:36], "the same trace")
	assert.NotEqual(t, got[0].TraceParent, got[1].TraceParent, "spans of their own")
}
