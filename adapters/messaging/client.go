package messaging

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/trace"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Client implements ports.ControlPlane for one worker over a bus.
type Client struct {
	bus   ports.Bus
	party Party
	// data carries what is too large for the bus (checkpoints); nil: it is refused with CodeTooLarge.
	data ports.ControlPlane
	// tries bound each try of a request.
	tries []time.Duration

	mu       sync.Mutex
	sub      ports.Subscription
	commands []ports.Command
	fetch    bool // a command waits that is too large for the bus
	arrived  chan struct{}
}

var _ ports.ControlPlane = (*Client)(nil)

const (
	// awayPoll bounds a poll over the other way while the bus is away; awayCheck is how soon it is noticed that it is.
	awayPoll  = 2 * time.Second
	awayCheck = time.Second
	// maxCommands bounds the commands kept for a worker that does not poll; the oldest go, because all come again.
	maxCommands = 20_000
)

// requestTries is how long each try of a request waits. The first ones are short: a coordinator that dies with a request in its hands
// must not cost ten seconds, and every request may be repeated.
var requestTries = []time.Duration{2 * time.Second, 5 * time.Second, 10 * time.Second}

// NewClient returns a worker's control plane. data, which may be nil, carries large checkpoints.
func NewClient(bus ports.Bus, p Party, data ports.ControlPlane) *Client {
	return &Client{bus: bus, party: p, data: data, tries: requestTries, arrived: make(chan struct{}, 1)}
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

// request sends a request to any coordinator and reads the answer. What nobody answered is tried again.
func request[R any](ctx context.Context, c *Client, subject, messageType string, payload any) (R, error) {
	var none R
	if c.away() {
		return none, errAway
	}
	ctx, span := tracer().Start(ctx, messageType, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	data, err := c.party.seal(messageType, "", payload)
	if err != nil {
		return none, err
	}
	if len(data) > 2*maxMessage {
		return none, domain.NewError(domain.CodeTooLarge, "a message of %d bytes is too large for the bus", len(data))
	}
	n := 0
	return backoff.Retry(ctx, func() (R, error) {
		try, cancel := context.WithTimeout(ctx, c.tries[n])
		defer cancel()
		n = min(n+1, len(c.tries)-1)
		reply, err := c.bus.Request(try, subject, data)
		if err != nil {
			if ctx.Err() != nil {
				return none, backoff.Permanent(ctx.Err())
			}
			if errors.Is(err, context.DeadlineExceeded) {
				err = domain.Unavailable(0, "no coordinator answers")
			}
			return none, err
		}
		out, err := answer[R](reply)
		if err != nil && !domain.IsCode(err, domain.CodeUnavailable) {
			err = backoff.Permanent(err)
		}
		return out, err
	}, backoff.WithMaxTries(uint(len(c.tries))), backoff.WithBackOff(&backoff.ExponentialBackOff{
		InitialInterval: 50 * time.Millisecond, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: time.Second,
	}))
}

// answer reads a reply.
func answer[R any](reply []byte) (R, error) {
	var out R
	e, err := open(reply)
	if err != nil {
		return out, &domain.Error{Code: domain.CodeUnavailable, Message: "the answer cannot be read", Cause: err}
	}
	if e.Error != nil {
		return out, &domain.Error{Code: e.Error.Code, Message: e.Error.Message, Details: e.Error.Details}
	}
	if err := json.Unmarshal(e.Payload, &out); err != nil {
		return out, &domain.Error{Code: domain.CodeUnavailable, Message: "the answer cannot be read", Cause: err}
	}
	return out, nil
}

// errAway is what requests answer at once while the bus is known to be away.
var errAway = domain.Unavailable(0, "the bus is away")

// away reports whether the bus says that it is.
func (c *Client) away() bool {
	b, tells := c.bus.(interface{ Connected() bool })
	return tells && !b.Connected()
}

// instead tells whether a request that the bus did not carry may go another way.
func (c *Client) instead(err error) bool {
	return c.data != nil && domain.IsCode(err, domain.CodeUnavailable)
}

// Register implements ports.ControlPlane.
func (c *Client) Register(ctx context.Context, r domain.Registration) (ports.Grant, error) {
	if err := c.listen(ctx, r.WorkerID); err != nil {
		return ports.Grant{}, err
	}
	g, err := request[ports.Grant](ctx, c, c.party.events(), typeRegister, r)
	if c.instead(err) {
		return c.data.Register(ctx, r)
	}
	return g, err
}

// listen subscribes to the worker's commands, once.
func (c *Client) listen(ctx context.Context, id domain.WorkerID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sub != nil {
		return nil
	}
	sub, err := c.bus.Subscribe(ctx, c.party.commands(id), "", func(_ context.Context, m ports.Message) []byte {
		c.receive(m.Data)
		return nil
	})
	c.sub = sub
	return err
}

// receive keeps the commands of a message; one that cannot be read is as good as lost, and comes again.
func (c *Client) receive(data []byte) {
	e, err := open(data)
	if err != nil {
		return
	}
	var cs []ports.Command
	if e.Type == typeCommands && json.Unmarshal(e.Payload, &cs) != nil {
		return
	}
	c.mu.Lock()
	c.fetch = c.fetch || e.Type == typeFetch
	c.commands = append(c.commands, cs...)
	if over := len(c.commands) - maxCommands; over > 0 {
		c.commands = c.commands[over:]
	}
	c.mu.Unlock()
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

// Heartbeat implements ports.ControlPlane.
func (c *Client) Heartbeat(ctx context.Context, h ports.Heartbeat) (ports.HeartbeatAnswer, error) {
	if err := h.SessionRef.Validate(); err != nil {
		return ports.HeartbeatAnswer{}, err // it has no subject
	}
	a, err := request[ports.HeartbeatAnswer](ctx, c, c.party.status(h.WorkerID), typeHeartbeat, h)
	if c.instead(err) {
		return c.data.Heartbeat(ctx, h)
	}
	return a, err
}

// Poll implements ports.ControlPlane: commands are pushed over the bus, so that polling reads what has arrived. While the bus is
// away, it asks the coordinator.
func (c *Client) Poll(ctx context.Context, s ports.SessionRef, wait time.Duration) ([]ports.Command, error) {
	if err := c.listen(ctx, s.WorkerID); err != nil {
		return nil, err
	}
	if c.data != nil {
		if c.away() {
			return c.data.Poll(ctx, s, min(wait, awayPoll))
		}
		wait = min(wait, awayCheck)
	}
	waited, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		mine, fetch := c.take(s.SessionID)
		switch {
		case len(mine) > 0:
			return mine, nil
		case fetch && c.data != nil:
			return c.data.Poll(ctx, s, awayPoll)
		}
		select {
		case <-c.arrived:
		case <-waited.Done():
			return nil, ctx.Err()
		}
	}
}

// take returns the session's commands and forgets those of others.
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

// reportsMessage is a batch of reports on its way.
type reportsMessage struct {
	ports.SessionRef
	Reports []ports.Report `json:"reports"`
}

// Report implements ports.ControlPlane.
func (c *Client) Report(ctx context.Context, s ports.SessionRef, reports []ports.Report) ([]ports.ReportAnswer, error) {
	if len(reports) == 0 {
		return nil, nil
	}
	as, err := request[[]ports.ReportAnswer](ctx, c, c.party.events(), typeReports, reportsMessage{s, reports})
	if c.instead(err) || domain.IsCode(err, domain.CodeTooLarge) && c.data != nil {
		return c.data.Report(ctx, s, reports)
	}
	return as, err
}

type saveMessage struct {
	ports.SessionRef
	ports.CheckpointUpload
}

// SaveCheckpoint implements ports.ControlPlane.
func (c *Client) SaveCheckpoint(ctx context.Context, s ports.SessionRef, up ports.CheckpointUpload) (ports.ReportAnswer, error) {
	if len(up.Data) > maxMessage {
		if c.data != nil {
			return c.data.SaveCheckpoint(ctx, s, up)
		}
		return ports.ReportAnswer{}, domain.NewError(domain.CodeTooLarge,
			"a checkpoint above %d bytes needs the coordinator's URL: it does not fit the bus", maxMessage)
	}
	a, err := request[ports.ReportAnswer](ctx, c, c.party.events(), typeSave, saveMessage{s, up})
	if c.instead(err) {
		return c.data.SaveCheckpoint(ctx, s, up)
	}
	return a, err
}

type loadMessage struct {
	ports.SessionRef
	WorkloadID domain.WorkloadID `json:"workload_id"`
	Generation int64             `json:"generation"`
	Sequence   int64             `json:"sequence"`
}

// LoadCheckpoint implements ports.ControlPlane.
func (c *Client) LoadCheckpoint(ctx context.Context, s ports.SessionRef, id domain.WorkloadID, generation, sequence int64) (ports.CheckpointData, error) {
	d, err := request[ports.CheckpointData](ctx, c, c.party.events(), typeLoad, loadMessage{s, id, generation, sequence})
	if c.instead(err) || domain.IsCode(err, domain.CodeTooLarge) && c.data != nil {
		return c.data.LoadCheckpoint(ctx, s, id, generation, sequence)
	}
	return d, err
}

// End implements ports.ControlPlane.
func (c *Client) End(ctx context.Context, e domain.SessionEnd) error {
	_, err := request[any](ctx, c, c.party.events(), typeEnd, e)
	if c.instead(err) {
		return c.data.End(ctx, e)
	}
	return err
}
