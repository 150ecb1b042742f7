//go:build linux || darwin

package workloads

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// addPrograms adds the programs that the operator allows.
func (o *Offer) addPrograms(opts Options, log *slog.Logger) error {
	h, err := newHost(opts, log)
	if err != nil {
		return err
	}
	o.Isolation, o.Limits, o.Capabilities = h.isolation(opts.Dumpable, log), h.limits.how, h.allow.capabilities()
	o.Namespaces = h.boxes.protect(h.users != nil)
	o.close = h.close
	if len(h.allow) > 0 {
		o.Types[domain.TypeExec] = func() ports.Workload { return &program{host: h} }
	}
	return nil
}

// newHost prepares what the programs share.
func newHost(o Options, log *slog.Logger) (*host, error) {
	users, why, err := newUsers(o.ExecUsers, log)
	if err != nil {
		return nil, err
	}
	if users != nil && users.size() < o.Slots {
		return nil, fmt.Errorf("the range has %d users for programs, and one that ends their processes: "+
			"%d slots need as many users for programs", users.size(), o.Slots)
	}
	if users == nil {
		log.Info("programs run as the worker's user", "reason", why)
	}
	allow, warnings, err := newAllowList(o.ExecAllow, o.ExecEnv, users != nil)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		log.Warn("program " + w)
	}
	closeOnExec()
	if o.OnlyPrograms {
		if err := kin.adopt(); err != nil {
			return nil, err
		}
	}
	room, err := newScratchRoom(users != nil)
	if err != nil {
		return nil, err
	}
	boxes, err := newBoxes(o.ExecNamespaces, users, room, log)
	if err != nil {
		return nil, errors.Join(err, room.close())
	}
	limits, err := newLimiter(o.ExecLimits, log)
	if err != nil {
		return nil, errors.Join(err, room.close())
	}
	return &host{allow: allow, users: users, room: room, boxes: boxes, limits: limits, log: log,
		killGrace: defaultKillGrace}, nil
}

// close removes what runs have left. No run may be under way.
func (h *host) close() error { return errors.Join(h.limits.close(), h.room.close()) }

// isolation returns and logs what protects the worker and other runs from a program.
func (h *host) isolation(dumpable bool, log *slog.Logger) Isolation {
	how := IsolationNone
	switch {
	case h.users != nil:
		how = IsolationUser
	case !dumpable && !mayTrace():
		how = IsolationDumpable
	}
	switch boxed := h.boxes.protect(h.users != nil) != NamespacesNone; {
	case how == IsolationUser:
		log.Info("every program runs as a user of its own", "exec_isolation", string(how),
			"first_uid", h.users.first, "last_uid", h.users.last)
	case boxed:
		log.Info("programs run as the worker's user, but reach neither the worker nor each other, only its files",
			"exec_isolation", string(how))
	case how == IsolationDumpable:
		log.Warn("programs run as the worker's user: they can't read its secrets, but can signal it and reach into "+
			"other programs",
			"exec_isolation", string(how))
	default:
		log.Warn("nothing keeps programs from the worker's secrets and from each other", "exec_isolation", string(how))
	}
	return how
}
