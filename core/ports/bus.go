package ports

import "context"

// Bus carries hints between processes. It is best effort: messages may be lost, repeated and
// reordered. It makes things fast; correctness never depends on it. Between processes, the origin of
// ctx reaches the context of the handler.
type Bus interface {
	// Publish sends data to every subscription whose subject matches, and to one member of each
	// queue group. It does not wait for receivers and does not fail because there are none.
	// CodeTooLarge when data exceeds what the bus carries; CodeUnavailable when it is known to be
	// disconnected.
	Publish(ctx context.Context, subject string, data []byte) error
	// Subscribe calls h for each message, one at a time per subscription, in the order in which one
	// publisher sent them, until the subscription is closed. Subjects are tokens joined by dots;
	// "*" stands for one token. With a non-empty group, each message reaches one member of the
	// group; all members subscribe to the same subject. A handler that panics or is slow affects
	// its own subscription only; when its buffer is full, messages are dropped and counted.
	Subscribe(ctx context.Context, subject, group string, h Handler) (Subscription, error)
	// Request sends data to one receiver and returns its reply. CodeUnavailable when nobody is
	// there to answer or ctx has no deadline and the bus's own (10 s) passes; the context's error
	// when that ends first. CodeTooLarge when data, or the reply, exceeds what the bus carries.
	Request(ctx context.Context, subject string, data []byte) ([]byte, error)
}

// Handler receives messages. Its result is the reply when the sender asked for one. data is only
// valid during the call.
type Handler func(ctx context.Context, m Message) (reply []byte)

// Message is what a handler receives.
type Message struct {
	Subject string
	Data    []byte
	// WantsReply reports whether the sender waits for a reply.
	WantsReply bool
}

// Subscription ends deliveries. Close stops new messages, hands those that have arrived to the
// handler for about a second at most, so that requests are answered, and returns when no handler
// call is running any more. It must not be called from the handler. Closing twice is a no-op.
type Subscription interface {
	Close() error
}
