package workloads

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Options say what a worker lets the built-in types do.
type Options struct {
	// ExecAllow are the programs that exec may start; none: the type is not offered. See allowList for how they are spelled.
	ExecAllow []string
	// ExecEnv are the variables that input may set beyond the default ones: "program=NAME NAME", "*=NAME" for every program. A name may
	// end in "*".
	ExecEnv []string
	// ExecUsers are the users that programs run as: "auto" or "", "none", or "first-last".
	ExecUsers string
	// Slots is how many runs there may be at once.
	Slots int
	// Dumpable tells that other processes of the worker's user can look into it.
	Dumpable bool
	// OnlyPrograms tells that this process starts no children but programs of exec, so that everything that programs leave behind may
	// become this process's child and be ended by it.
	OnlyPrograms bool
	// HTTPAllowPrivate lets http call private, loopback and link-local addresses.
	HTTPAllowPrivate bool
}

// Offer is what a worker can do with the built-in types.
type Offer struct {
	Types map[string]ports.WorkloadFactory
	// Capabilities are those beside the types: the programs of exec.
	Capabilities []string
	// Isolation protects the worker and other runs from programs; empty: exec is not offered.
	Isolation Isolation

	room *scratchRoom
}

// New returns what a worker with these options offers, and logs what it leaves out and how programs are kept apart. Close it when
// the last run has ended.
func New(o Options, log *slog.Logger) (*Offer, error) {
	client := newHTTPClient(o.HTTPAllowPrivate)
	offer := &Offer{Types: map[string]ports.WorkloadFactory{
		"sleep": func() ports.Workload { return &sleep{} },
		"http":  func() ports.Workload { return &call{client: client, log: log} },
	}}
	if !slices.ContainsFunc(o.ExecAllow, func(s string) bool { return strings.TrimSpace(s) != "" }) {
		return offer, nil
	}
	h, err := newHost(o, log)
	if err != nil {
		return nil, fmt.Errorf("workload type exec: %w", err)
	}
	offer.Isolation, offer.Capabilities, offer.room = h.isolation(o.Dumpable, log), h.allow.capabilities(), h.room
	if len(h.allow) > 0 {
		offer.Types[domain.TypeExec] = func() ports.Workload { return &program{host: h} }
	}
	return offer, nil
}

// newHost prepares what programs run in.
func newHost(o Options, log *slog.Logger) (*host, error) {
	users, why, err := newUsers(o.ExecUsers, log)
	if err != nil {
		return nil, err
	}
	if users != nil && users.size() < o.Slots {
		return nil, fmt.Errorf("%d users for programs are fewer than the %d slots", users.size(), o.Slots)
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
	return &host{allow: allow, users: users, room: room, log: log, killGrace: defaultKillGrace}, nil
}

// closeOnExec keeps descriptors that this process inherited from programs. What Go opens is kept from them anyway. Best effort:
// kernels before 5.11 cannot.
func closeOnExec() {
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // then they are passed on, as by every process
}

// isolation says what protects the worker and other runs from a program, and logs it.
func (h *host) isolation(dumpable bool, log *slog.Logger) Isolation {
	switch {
	case h.users != nil:
		log.Info("every program runs as a user of its own", "exec_isolation", string(IsolationUser),
			"first_uid", h.users.first, "last_uid", h.users.last)
		return IsolationUser
	case !dumpable && !mayTrace():
		log.Warn("programs run as the worker's user: they can't read its secrets, but can signal it and reach into other programs",
			"exec_isolation", string(IsolationDumpable))
		return IsolationDumpable
	}
	log.Warn("nothing keeps programs from the worker's secrets and from each other", "exec_isolation", string(IsolationNone))
	return IsolationNone
}

// mayTrace reports whether programs that run as this user can look into every process: root's, where the capability for it exists.
func mayTrace() bool {
	bounded, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, unix.CAP_SYS_PTRACE, 0, 0, 0)
	return os.Geteuid() == 0 && (err != nil || bounded == 1)
}

// Close removes what runs left. No run may be under way.
func (o *Offer) Close() error {
	if o.room == nil {
		return nil
	}
	return o.room.close()
}

// decodeInput reads input_params strictly. What is wrong with it cannot be mended by trying again.
func decodeInput(j domain.JSON, v any) error {
	d := json.NewDecoder(bytes.NewReader([]byte(j)))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil {
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return invalidInput("input_params", "must be one JSON object")
		}
		return nil
	}
	var typed *json.UnmarshalTypeError
	if errors.As(err, &typed) {
		return invalidInput("input_params."+typed.Field, "must be %s, not %s", typed.Type, typed.Value)
	}
	return invalidInput("input_params", "%v", err)
}

// invalidInput is a permanent failure that names the field.
func invalidInput(field, format string, args ...any) error {
	return permanent("invalid_input", fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
}

func permanent(errorType string, err error) error {
	return &ports.RunError{Type: errorType, Permanent: true, Err: err}
}

func transient(errorType string, err error) error {
	return &ports.RunError{Type: errorType, Err: err}
}
