package messaging

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests"
	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

type fixedClock struct{}

func (fixedClock) Now() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

type fixedIDs struct{ ports.IDs }

func (fixedIDs) New(prefix string) string { return prefix + "1" }

// stubBus hands each subject's handlers to the test.
type stubBus struct {
	ports.Bus
	mu       sync.Mutex
	handlers map[string]ports.Handler
}

func (b *stubBus) Subscribe(_ context.Context, subject, _ string, h ports.Handler) (ports.Subscription, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.handlers == nil {
		b.handlers = map[string]ports.Handler{}
	}
	b.handlers[subject] = h
	return stubSubscription{}, nil
}

func (*stubBus) Publish(context.Context, string, []byte) error { return nil }

type stubSubscription struct{}

func (stubSubscription) Close() error { return nil }

// stubPlane answers registrations only.
type stubPlane struct {
	ports.ControlPlane
	registered int
}

func (p *stubPlane) Register(context.Context, domain.Registration) (ports.Grant, error) {
	p.registered++
	return ports.Grant{LeaseMS: 1}, nil
}

// counted counts events.
type counted struct {
	ports.Observer
	counts map[string]int
}

func (c counted) Count(name string, n int) { c.counts[name] += n }

func server(t *testing.T) (handle func(data string) Envelope, plane *stubPlane, counts map[string]int) {
	t.Helper()
	bus, plane, counts := &stubBus{}, &stubPlane{}, map[string]int{}
	party := Party{ID: "c", Kind: "coordinator", Clock: fixedClock{}, IDs: fixedIDs{}}
	s := NewServer(bus, party, plane, counted{counts: counts}, slog.New(slog.NewTextHandler(io.Discard, nil)))
	require.NoError(t, s.Start(t.Context()))
	return func(data string) Envelope {
		reply := bus.handlers["coordinator.events"](t.Context(), ports.Message{Data: []byte(data), WantsReply: true})
		var e Envelope
		require.NoError(t, json.Unmarshal(reply, &e), "%s", reply)
		return e
	}, plane, counts
}

const register = `{"message_id":"m","type":"worker.register","version":1,"payload":{}}`

func TestServer_WhenAMessageIsBad_CountsItAndGoesOn(t *testing.T) {
	handle, plane, counts := server(t)
	bad := []string{"", "x", "[]", "{}", `{"type":"worker.register"}`, `{"type":7,"version":1}`, `{"version":1}`,
		"\x00\xff"}
	for _, data := range bad {
		e := handle(data)
		require.NotNil(t, e.Error, data)
		assert.Equal(t, domain.CodeInvalidInput, e.Error.Code, data)
	}
	assert.Equal(t, len(bad), counts["bus_message_bad"])
	assert.Nil(t, handle(register).Error)
	assert.Equal(t, 1, plane.registered, "the consumer goes on")
}

func TestServer_WhenATypeIsUnknown_CountsItAndAnswers(t *testing.T) {
	handle, _, counts := server(t)
	e := handle(`{"message_id":"m7","type":"worker.dance","version":9,"payload":{}}`)
	require.NotNil(t, e.Error)
	assert.Contains(t, e.Error.Message, "worker.dance")
	assert.Equal(t, "m7", e.CorrelationID)
	assert.Equal(t, 1, counts["bus_message_unknown"])
}

func TestServer_WhenFieldsAreUnknownAndTheVersionNewer_Accepts(t *testing.T) {
	handle, plane, _ := server(t)
	e := handle(`{"message_id":"m","type":"worker.register","version":2,"mood":"good","payload":{"worker_id":"w",` +
		`"shoe_size":44}}`)
	assert.Nil(t, e.Error)
	assert.Equal(t, 1, plane.registered)
}

func TestServer_WhenAPayloadHasTheWrongShape_RefusesItByName(t *testing.T) {
	handle, plane, _ := server(t)
	for _, payload := range []string{`[]`, `"x"`, `{"slots":"many"}`} {
		e := handle(`{"message_id":"m","type":"worker.register","version":1,"payload":` + payload + `}`)
		require.NotNil(t, e.Error, payload)
		assert.Contains(t, e.Error.Message, "payload", payload)
	}
	assert.Zero(t, plane.registered)
}

func TestRefusal_WhenTheErrorIsInternal_HidesIt(t *testing.T) {
	for err, want := range map[error]domain.Code{
		&domain.Error{Code: domain.CodeInternal, Message: "secret"}: domain.CodeInternal,
		io.ErrUnexpectedEOF:                        domain.CodeInternal,
		context.DeadlineExceeded:                   domain.CodeUnavailable,
		domain.NewError(domain.CodeFenced, "gone"): domain.CodeFenced,
	} {
		r := refusal(err)
		assert.Equal(t, want, r.Code)
		assert.NotContains(t, r.Message, "secret")
	}
}

// disconnectedBus takes subscriptions and carries nothing.
type disconnectedBus struct{ stubBus }

func (*disconnectedBus) Publish(context.Context, string, []byte) error {
	return domain.Unavailable(0, "disconnected")
}

func TestHints_WhenTheBusIsDisconnected_ReachTheirOwnProcess(t *testing.T) {
	counts := map[string]int{}
	party := Party{ID: "c", Kind: "coordinator", Clock: fixedClock{}, IDs: fixedIDs{}}
	h := NewHints(&disconnectedBus{}, contracttests.NewLocalHints(), party, counted{counts: counts},
		slog.New(slog.DiscardHandler))
	var woken, commanded []string
	wakes, err := h.Wakes(t.Context(), func(reason string) { woken = append(woken, reason) })
	require.NoError(t, err)
	_, err = h.Commands(t.Context(), "w", func(c ports.Command) { commanded = append(commanded, string(c.Kind)) })
	require.NoError(t, err)
	h.Wake(t.Context(), "work")
	assign := ports.Command{Kind: ports.CommandAssign, Assignment: &ports.Assignment{}}
	h.Command(t.Context(), "w", assign)
	h.Command(t.Context(), "other", assign)
	assert.Equal(t, []string{"work"}, woken)
	assert.Equal(t, []string{string(ports.CommandAssign)}, commanded)
	assert.Equal(t, 3, counts["bus_publish_failed"])
	require.NoError(t, wakes.Close())
	h.Wake(t.Context(), "more")
	assert.Len(t, woken, 1)
}

// publishingBus keeps the types of the messages that are published.
type publishingBus struct {
	stubBus
	types []string
}

func (b *publishingBus) Publish(_ context.Context, _ string, data []byte) error {
	e, err := decode(data)
	b.types = append(b.types, e.Type)
	return err
}

func TestCommand_WithoutItsAssignment_HasTheWorkerFetchIt(t *testing.T) {
	bus := &publishingBus{}
	party := Party{ID: "c", Kind: "coordinator", Clock: fixedClock{}, IDs: fixedIDs{}}
	h := NewHints(bus, contracttests.NewLocalHints(), party, counted{counts: map[string]int{}},
		slog.New(slog.DiscardHandler))
	h.Command(t.Context(), "w", ports.Command{Kind: ports.CommandAssign, Assignment: &ports.Assignment{}})
	require.Equal(t, []string{typeCommands}, bus.types)
	h.Command(t.Context(), "w", ports.Command{Kind: ports.CommandAssign}, ports.Command{Kind: ports.CommandDrain})
	require.Equal(t, []string{typeCommands, typeCommands, typeFetch}, bus.types)
}

// quietBus answers requests as its test says.
type quietBus struct {
	stubBus
	request func(ctx context.Context, subject string, data []byte) ([]byte, error)
}

func (b *quietBus) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	return b.request(ctx, subject, data)
}

// session is the session of all requests.
var session = ports.SessionRef{WorkerID: "w", SessionID: "s"}

func client(bus ports.Bus) *Client {
	return NewClient(bus, Party{ID: "w", Kind: "worker", Clock: fixedClock{}, IDs: fixedIDs{}})
}

func TestTry_WhenNobodyAnswers_IsGivenUpAsUnanswered(t *testing.T) {
	bus := &quietBus{request: func(ctx context.Context, _ string, _ []byte) ([]byte, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	plane := client(bus).Try(20*time.Millisecond, false)
	_, err := plane.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: session})
	require.ErrorIs(t, err, ports.ErrUnanswered)
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err), "not the end of a context")
	bus.request = func(context.Context, string, []byte) ([]byte, error) {
		return nil, domain.Unavailable(0, "nobody is there")
	}
	_, err = plane.Heartbeat(t.Context(), ports.Heartbeat{SessionRef: session})
	require.ErrorIs(t, err, ports.ErrUnanswered)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = plane.Heartbeat(ctx, ports.Heartbeat{SessionRef: session})
	require.ErrorIs(t, err, context.Canceled, "the caller's own end surfaces as itself")
}

func TestTry_WhenACoordinatorRefuses_ItHasAnswered(t *testing.T) {
	p := Party{ID: "c", Kind: "coordinator", Clock: fixedClock{}, IDs: fixedIDs{}}
	s := NewServer(nil, p, refusingPlane{}, counted{counts: map[string]int{}}, slog.New(slog.DiscardHandler))
	bus := &quietBus{request: func(ctx context.Context, _ string, data []byte) ([]byte, error) {
		return s.handle(ctx, ports.Message{Data: data, WantsReply: true}), nil
	}}
	c := client(bus)
	_, err := c.Try(time.Second, false).Heartbeat(t.Context(), ports.Heartbeat{SessionRef: session})
	require.Equal(t, domain.CodeUnavailable, domain.CodeOf(err))
	require.NotErrorIs(t, err, ports.ErrUnanswered)
	require.NoError(t, c.Ping(t.Context()), "a coordinator without its store is there")
}

// refusingPlane has lost its store.
type refusingPlane struct{ ports.ControlPlane }

func (refusingPlane) Heartbeat(context.Context, ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	return ports.HeartbeatAnswer{}, domain.Unavailable(0, "the database is not available")
}

func TestTry_WhenAMessageIsTooLarge_IsRefusedBeforeItIsSent(t *testing.T) {
	bus := &quietBus{request: func(context.Context, string, []byte) ([]byte, error) {
		t.Error("sent")
		return nil, nil
	}}
	plane := client(bus).Try(time.Second, false)
	line := ports.LogEntry{Message: strings.Repeat("x", 8<<10)}
	rep := ports.Report{Event: domain.EventLog, Lines: slices.Repeat([]ports.LogEntry{line}, 200)}
	_, err := plane.Report(t.Context(), ports.SessionRef{}, []ports.Report{rep})
	require.Equal(t, domain.CodeTooLarge, domain.CodeOf(err))
	_, err = plane.SaveCheckpoint(t.Context(), ports.SessionRef{}, ports.CheckpointUpload{Data: make([]byte, dataLimit+1)})
	require.Equal(t, domain.CodeTooLarge, domain.CodeOf(err))
}

// slowBus confirms subscriptions when its test says.
type slowBus struct {
	stubBus
	confirm chan struct{}
}

func (*slowBus) Request(context.Context, string, []byte) ([]byte, error) {
	return nil, domain.Unavailable(0, "nobody is there")
}

func (b *slowBus) Subscribe(ctx context.Context, subject, group string, h ports.Handler) (ports.Subscription, error) {
	select {
	case <-b.confirm:
		return b.stubBus.Subscribe(ctx, subject, group, h)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func TestPoll_WhenAnotherWaitsForTheSubscription_HearsTheEndOfItsOwnContext(t *testing.T) {
	bus := &slowBus{confirm: make(chan struct{})}
	plane := client(bus).Try(time.Minute, false)
	registered := make(chan struct{})
	go func() {
		defer close(registered)
		_, _ = plane.Register(t.Context(), domain.Registration{WorkerID: "w"})
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := plane.Poll(ctx, ports.SessionRef{WorkerID: "w"}, time.Minute)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(bus.confirm)
	<-registered
}

func TestUpdates_WhenAnotherWaitsForTheSubscription_HearsTheEndOfItsOwnContext(t *testing.T) {
	bus := &slowBus{confirm: make(chan struct{})}
	p := Party{ID: "c", Clock: fixedClock{}, IDs: fixedIDs{}}
	h := NewHints(bus, contracttests.NewLocalHints(), p, counted{counts: map[string]int{}}, slog.New(slog.DiscardHandler))
	first := make(chan error)
	go func() {
		_, err := h.Updates(t.Context(), ports.FollowedWorkload("wl_1"), func(ports.Update) {})
		first <- err
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := h.Updates(ctx, ports.FollowedWorkload("wl_2"), func(ports.Update) {})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(bus.confirm)
	require.NoError(t, <-first)
}
