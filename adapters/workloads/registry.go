package workloads

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Options say what a worker lets the built-in types do.
type Options struct {
	// ExecAllow are the programs that exec may start; none: the type is not offered. See allowList
	// for how they are spelled.
	ExecAllow []string
	// ExecEnv are the variables that input may set beyond the default ones: "program=NAME NAME",
	// "*=NAME" for every program. A name may end in "*".
	ExecEnv []string
	// ExecUsers are the users that programs run as: "auto" or "", "none", or "first-last".
	ExecUsers string
	// Slots is how many runs there may be at once.
	Slots int
	// Dumpable tells that other processes of the worker's user can look into it.
	Dumpable bool
	// OnlyPrograms tells that this process starts no children but programs of exec, so that
	// everything that programs leave behind may become this process's child and be ended by it.
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

// New returns what a worker with these options offers, and logs what it leaves out and how programs
// are kept apart. Close it when the last run has ended.
func New(o Options, log *slog.Logger) (*Offer, error) {
	client := newHTTPClient(o.HTTPAllowPrivate)
	offer := &Offer{Types: map[string]ports.WorkloadFactory{
		"sleep": func() ports.Workload { return &sleep{} },
		"http":  func() ports.Workload { return &call{client: client, log: log} },
	}}
	if !slices.ContainsFunc(o.ExecAllow, func(s string) bool { return strings.TrimSpace(s) != "" }) {
		return offer, nil
	}
	if err := offer.addPrograms(o, log); err != nil {
		return nil, fmt.Errorf("workload type exec: %w", err)
	}
	return offer, nil
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
