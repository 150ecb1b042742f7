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

// Options say what the built-in types may do on a worker.
type Options struct {
	// ExecAllow are the programs that exec may start. If it is empty, exec is not offered. See
	// allowList for the spelling.
	ExecAllow []string
	// ExecEnv are the variables that input may set beyond the default ones: "program=NAME NAME", or
	// "*=NAME" for every program. A name may end in "*".
	ExecEnv []string
	// ExecUsers are the users that programs run as: "auto" or "", "none", or "first-last".
	ExecUsers string
	// ExecLimits is how programs are held to their limits: "auto" or "", "cgroup", "rlimit" or "none".
	ExecLimits string
	// ExecNamespaces says whether programs run in namespaces of their own: "auto" or "", "required" or
	// "none".
	ExecNamespaces string
	// Slots is the number of runs at the same time.
	Slots int
	// Dumpable reports whether other processes of the worker's user can look into the worker.
	Dumpable bool
	// OnlyPrograms reports whether this process starts no other children than programs of exec.
	// Then everything that programs leave behind may become its child, and the worker ends it.
	OnlyPrograms bool
	// HTTPAllowPrivate allows http to call private, loopback and link-local addresses.
	HTTPAllowPrivate bool
}

// Offer is what the built-in types offer on a worker.
type Offer struct {
	Types map[string]ports.WorkloadFactory
	// Capabilities are the programs of exec, as capabilities.
	Capabilities []string
	// Isolation is what protects the worker and other runs from programs. It is empty if exec is
	// not offered.
	Isolation Isolation
	// Namespaces is whether programs have namespaces of their own. It is empty if exec is not offered.
	Namespaces Namespaces
	// Limits is how programs are held to their limits. It is empty if exec is not offered.
	Limits Enforcement

	close func() error // nil if exec is not offered
}

// New returns the offer of a worker with these options. It logs what is left out and how programs
// are isolated. Close the offer when the last run has ended.
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

// Close removes what runs have left. No run may be under way.
func (o *Offer) Close() error {
	if o.close == nil {
		return nil
	}
	return o.close()
}

// decodeInput decodes input_params strictly. Its errors are permanent.
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

// invalidInput returns a permanent failure that names the field.
func invalidInput(field, format string, args ...any) error {
	return permanent("invalid_input", fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
}

func permanent(errorType string, err error) error {
	return &ports.RunError{Type: errorType, Permanent: true, Err: err}
}

func transient(errorType string, err error) error {
	return &ports.RunError{Type: errorType, Err: err}
}
