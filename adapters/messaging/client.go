package messaging

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Client is one worker's way to its coordinators over a bus. Safe for concurrent use. It tries each
// request once; adapters/failover tries again, also over other ways.
type Client struct {
	bus   ports.Bus
	party Party
	// listening is held while the commands are subscribed to. It is a channel and not a mutex,
	// because subscribing waits for the bus, and a caller that waits for its turn must hear the end
	// of its context.
	listening chan struct{}

	mu       sync.Mutex
	sub      ports.Subscription
	commands []ports.Command
	fetch    bool // a command is too large for the bus
	arrived  chan struct{}
}

// commandsLimit bounds the commands kept for a worker that does not poll. The oldest are dropped;
// all come again.
const commandsLimit = 20_000

// listenTimeout bounds how long a poll waits for its subscription to be made.
const listenTimeout = time.Second

// NewClient returns a client of the worker p.
func NewClient(bus ports.Bus, p Party) *Client {
	return &Client{bus: bus, party: p, listening: make(chan struct{}, 1), arrived: make(chan struct{}, 1)}
}

// Close stops receiving commands.
func (c *Client) Close() error {
	c.mu.Lock()
	sub := c.sub
	c.sub = nil
	c.mu.Unlock()
	if sub == nil {
		return nil
	}
	return sub.Close()
}

// String names the route in logs.
func (c *Client) String() string { return "bus" }

// Connected reports whether the bus is not known to be disconnected.
func (c *Client) Connected() bool {
	b, tells := c.bus.(interface{ Connected() bool })
	return !tells || b.Connected()
}

// Ping returns nil when a coordinator has answered.
func (c *Client) Ping(ctx context.Context) error {
	_, err := request[pong](ctx, c, c.party.status(domain.WorkerID(c.party.ID)), typePing, nil)
	return err
}

// pong answers a ping.
type pong struct{}

// Try returns a view of the coordinators. Each call is one request, which waits for patience. There
// are no fresh connections to ask for: the bus has one, and replaces it by itself.
func (c *Client) Try(patience time.Duration, _ bool) ports.ControlPlane { return view{c, patience} }

// view implements ports.ControlPlane.
type view struct {
	*Client
	patience time.Duration
}

var _ ports.ControlPlane = view{}

// ask is request with the view's patience. The end of ctx surfaces as itself.
func ask[R any](ctx context.Context, v view, subject, messageType string, payload any) (R, error) {
	bounded, cancel := context.WithTimeout(ctx, v.patience)
	defer cancel()
	out, err := request[R](bounded, v.Client, subject, messageType, payload)
	if ctx.Err() != nil {
		return out, ctx.Err()
	}
	return out, err
}

// request sends a request to any coordinator and reads the answer.
func request[R any](ctx context.Context, c *Client, subject, messageType string, payload any) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	if !c.Connected() {
		return none, unanswered("the bus is disconnected", nil)
	}
	data, err := c.party.encode(messageType, payload)
	if err != nil {
		return none, err
	}
	if len(data) > messageLimit {
		return none, domain.NewError(domain.CodeTooLarge, "a message of %d bytes is too large for the bus", len(data))
	}
	reply, err := c.bus.Request(ctx, subject, data)
	switch {
	case err == nil:
		return answer[R](reply)
	case domain.IsCode(err, domain.CodeTooLarge):
		return none, err
	}
	return none, unanswered("no coordinator answers over the bus", err)
}

// unanswered returns the error of a request that got no answer.
func unanswered(message string, cause error) error {
	if cause == nil {
		cause = ports.ErrUnanswered
	} else {
		cause = fmt.Errorf("%w: %w", ports.ErrUnanswered, cause)
	}
	return &domain.Error{Code: domain.CodeUnavailable, Message: message, Cause: cause}
}

// answer reads a reply.
func answer[R any](reply []byte) (R, error) {
	var none R
	e, err := decode(reply)
	if err != nil {
		return none, unreadable(err)
	}
	out, err := open[R](&e)
	switch {
	case e.Error != nil:
		return none, &domain.Error{Code: e.Error.Code, Message: e.Error.Message, Details: e.Error.Details}
	case err != nil:
		return none, unreadable(err)
	}
	return out, nil
}

func unreadable(cause error) error {
	return &domain.Error{Code: domain.CodeUnavailable, Message: "the answer cannot be read", Cause: cause}
}

// Register implements ports.ControlPlane. It subscribes to the commands before the first one can be
// sent.
func (v view) Register(ctx context.Context, r domain.Registration) (ports.Grant, error) {
	if err := v.listen(ctx, r.WorkerID, v.patience); err != nil {
		return ports.Grant{}, err
	}
	return ask[ports.Grant](ctx, v, v.party.events(), typeRegister, r)
}

// listen subscribes to the worker's commands, unless it has.
func (c *Client) listen(ctx context.Context, id domain.WorkerID, timeout time.Duration) error {
	if c.listens() {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case c.listening <- struct{}{}:
		defer func() { <-c.listening }()
	case <-bounded.Done():
		return endOf(ctx, bounded.Err())
	}
	if c.listens() {
		return nil
	}
	sub, err := c.bus.Subscribe(bounded, c.party.commands(id), "", func(_ context.Context, m ports.Message) []byte {
		c.receive(m.Data)
		return nil
	})
	if err != nil {
		return endOf(ctx, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sub = sub
	return nil
}

// endOf returns the error of a subscription that was not made: the end of the caller's context, or
// that the bus did not answer.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return unanswered("the bus does not confirm the subscription", err)
	}
	return err
}

func (c *Client) listens() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sub != nil
}

// receive keeps the commands of a message. A message that cannot be read counts as lost; its
// commands come again.
func (c *Client) receive(data []byte) {
	e, err := decode(data)
	if err != nil {
		return
	}
	var cs []ports.Command
	if e.Type == typeCommands {
		if cs, err = open[[]ports.Command](&e); err != nil {
			return
		}
	}
	c.mu.Lock()
	c.fetch = c.fetch || e.Type == typeFetch
	c.commands = append(c.commands, cs...)
	if over := len(c.commands) - commandsLimit; over > 0 {
		c.commands = c.commands[over:]
	}
	c.mu.Unlock()
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

// Heartbeat implements ports.ControlPlane.
func (v view) Heartbeat(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	if err := h.SessionRef.Validate(); err != nil {
		return ports.HeartbeatAnswer{}, err // the subject holds the worker's id
	}
	return ask[ports.HeartbeatAnswer](ctx, v, v.party.status(h.WorkerID), typeHeartbeat, h)
}

// Poll implements ports.ControlPlane. Commands are pushed over the bus; Poll returns those that
// have arrived. CodeTooLarge when a command must be fetched another way.
func (v view) Poll(ctx context.Context, s ports.SessionRef, wait time.Duration) ([]ports.Command, error) {
	if err := v.listen(ctx, s.WorkerID, listenTimeout); err != nil {
		return nil, err
	}
	waited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		mine, fetch := v.take(s.SessionID)
		switch {
		case len(mine) > 0:
			return mine, nil
		case fetch:
			return nil, domain.NewError(domain.CodeTooLarge, "a command is too large for the bus")
		}
		select {
		case <-v.arrived:
		case <-waited.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns the session's commands, and drops those of other sessions.
func (c *Client) take(session domain.SessionID) (mine []ports.Command, fetch bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cmd := range c.commands {
		if cmd.SessionID == session {
			mine = append(mine, cmd)
		}
	}
	c.commands = nil
	if len(mine) == 0 {
		fetch, c.fetch = c.fetch, false
	}
	return mine, fetch
}

// Report implements ports.ControlPlane.
func (v view) Report(ctx context.Context, s ports.SessionRef, reports []ports.Report) ([]ports.ReportAnswer, error) {
	return ask[[]ports.ReportAnswer](ctx, v, v.party.events(), typeReports, plainly(s, reports))
}

type saveMessage struct {
	ports.SessionRef
	ports.CheckpointUpload
}

// SaveCheckpoint implements ports.ControlPlane.
func (v view) SaveCheckpoint(
	ctx context.Context, s ports.SessionRef, up ports.CheckpointUpload,
) (ports.ReportAnswer, error) {
	if up.Body != nil || len(up.Data) > dataLimit {
		return ports.ReportAnswer{}, domain.NewError(domain.CodeTooLarge,
			"a checkpoint above %d bytes needs the coordinator's URL: it does not fit the bus", dataLimit)
	}
	return ask[ports.ReportAnswer](ctx, v, v.party.events(), typeSave, saveMessage{s, up})
}

type loadMessage struct {
	ports.SessionRef
	WorkloadID domain.WorkloadID `json:"workload_id"`
	Generation int64             `json:"generation"`
	Sequence   int64             `json:"sequence"`
}

// LoadCheckpoint implements ports.ControlPlane.
func (v view) LoadCheckpoint(
	ctx context.Context, s ports.SessionRef, id domain.WorkloadID, generation, sequence int64,
) (ports.CheckpointData, error) {
	return ask[ports.CheckpointData](ctx, v, v.party.events(), typeLoad, loadMessage{s, id, generation, sequence})
}

// End implements ports.ControlPlane.
func (v view) End(ctx context.Context, e domain.SessionEnd) error {
	_, err := ask[any](ctx, v, v.party.events(), typeEnd, e)
	return err
}
