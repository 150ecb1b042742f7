package simulation

import (
	"context"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// network carries hints between processes: late, in any order, twice, or not at all.
type network struct {
	w        *World
	flying   []func()
	commands map[domain.WorkerID][]*listener
	// disconnectedUntil is when the bus carries messages again.
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

type nothing struct{}

func (nothing) Close() error { return nil }

// send lets a message fly, or not.
func (n *network) send(label string, deliver func()) {
	harm := n.w.Boundary("send " + label)
	if harm == CrashBefore {
		n.w.die()
	}
	if harm == LoseRequest || harm == LoseAnswer || n.w.Now().Before(n.disconnectedUntil) || n.w.faulty(n.w.P.Drop) {
		return
	}
	n.flying = append(n.flying, deliver)
	if n.w.faulty(n.w.P.Duplicate) {
		n.flying = append(n.flying, deliver)
	}
	if harm == CrashAfter {
		n.w.die()
	}
}

// deliver delivers some of the messages that fly, whichever; more when there are many, so that none
// flies for ever.
func (n *network) deliver() {
	for range (len(n.flying) + 3) / 4 {
		i := n.w.rng.IntN(len(n.flying))
		f := n.flying[i]
		n.flying = slices.Delete(n.flying, i, i+1)
		f()
	}
}

// deliverAll delivers what flies, in order.
func (n *network) deliverAll() {
	flying := n.flying
	n.flying = nil
	for _, f := range flying {
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

// Wake implements ports.Notifier: ticks come by themselves here.
func (n *network) Wake(context.Context, string) {}

// Updated implements ports.Notifier: nobody follows here.
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
	return nothing{}, nil
}

// Updates implements ports.Listener.
func (n *network) Updates(context.Context, ports.Followed, func(ports.Update)) (ports.Subscription, error) {
	return nothing{}, nil
}
