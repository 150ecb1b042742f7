package workloads

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Options say what a worker lets the built-in types do.
type Options struct {
	// ExecAllow are the programs that exec may start; none: the type is not offered.
	ExecAllow []string
	// HTTPAllowPrivate lets http call private, loopback and link-local addresses.
	HTTPAllowPrivate bool
}

// Registry returns the types that a worker with these options offers.
func Registry(o Options) map[string]ports.WorkloadFactory {
	client := newHTTPClient(o.HTTPAllowPrivate, nil)
	types := map[string]ports.WorkloadFactory{
		"sleep": func() ports.Workload { return &sleep{} },
		"http":  func() ports.Workload { return &call{client: client} },
	}
	if len(o.ExecAllow) > 0 {
		allow := newAllowList(o.ExecAllow)
		types["exec"] = func() ports.Workload { return &program{allow: allow, killGrace: defaultKillGrace} }
	}
	return types
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
