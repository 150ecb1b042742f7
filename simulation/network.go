package simulation

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// network is the bus between the processes. Messages arrive late, in any order, twice or not at
// all.
type network struct {
	w        *World
	inFlight []func() // delivers one message each
	commands map[domain.WorkerID][]*listener
	// disconnectedUntil is the time until which the bus loses every message.
	disconnectedUntil time.Time
}

// listener is one process's subscription to a worker's commands.
type listener struct {
	net    *network
	worker domain.WorkerID
	handle func(ports.Command)
}

// Close implements ports.Subscription.
func (l *listener) Close() error {
	l.net.commands[l.worker] = slices.DeleteFunc(l.net.commands[l.worker], func(o *listener) bool { return o == l })
	return nil
}

// noSubscription is a subscription on which nothing arrives.
type noSubscription struct{}

// Close implements ports.Subscription.
func (noSubscription) Close() error { return nil }

// send puts a message in flight. A fault may lose it or duplicate it.
func (n *network) send(label string, deliver func()) {
	harm := n.w.Boundary("send " + label)
	if harm == CrashBefore {
		n.w.die()
	}
	if harm == LoseRequest || harm == LoseAnswer || n.w.Now().Before(n.disconnectedUntil) || n.w.faulty(n.w.P.Drop) {
		return
	}
	n.inFlight = append(n.inFlight, deliver)
	if n.w.faulty(n.w.P.Duplicate) {
		n.inFlight = append(n.inFlight, deliver)
	}
	if harm == CrashAfter {
		n.w.die()
	}
}

// deliver delivers a quarter of the messages in flight, chosen at random. A share instead of a
// fixed number keeps messages from piling up.
func (n *network) deliver() {
	for range (len(n.inFlight) + 3) / 4 {
		i := n.w.rng.IntN(len(n.inFlight))
		f := n.inFlight[i]
		n.inFlight = slices.Delete(n.inFlight, i, i+1)
		f()
	}
}

// deliverAll delivers all messages in flight, in order.
func (n *network) deliverAll() {
	inFlight := n.inFlight
	n.inFlight = nil
	for _, f := range inFlight {
		f()
	}
}

// Command implements ports.Notifier.
func (n *network) Command(_ context.Context, worker domain.WorkerID, cs ...ports.Command) {
	for _, c := range cs {
		n.send(string(c.Kind), func() {
			for _, l := range slices.Clone(n.commands[worker]) {
				l.handle(c)
			}
		})
	}
}

// Wake implements ports.Notifier. Loops here tick without being woken.
func (n *network) Wake(context.Context, string) {}

// Updated implements ports.Notifier. No client follows workloads here.
func (n *network) Updated(context.Context, ...ports.Update) {}

// Commands implements ports.Listener.
func (n *network) Commands(
	_ context.Context, worker domain.WorkerID, h func(ports.Command),
) (ports.Subscription, error) {
	l := &listener{n, worker, h}
	n.commands[worker] = append(n.commands[worker], l)
	return l, nil
}

// Wakes implements ports.Listener.
func (n *network) Wakes(context.Context, func(string)) (ports.Subscription, error) {
	return noSubscription{}, nil
}

// Updates implements ports.Listener.
func (n *network) Updates(context.Context, ports.Followed, func(ports.Update)) (ports.Subscription, error) {
	return noSubscription{}, nil
}
