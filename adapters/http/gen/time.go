package gen

import (
	"encoding/json"
	"time"

	"github.com/niyanta/niyanta/core/domain"
)

// Time is a time of the API: RFC 3339 in UTC with milliseconds.
type Time struct{ time.Time }

const timeLayout = "2006-01-02T15:04:05.000Z"

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return []byte(`"` + t.UTC().Format(timeLayout) + `"`), nil
}

// UnmarshalJSON implements json.Unmarshaler, as domain.ParseTime reads a time.
func (t *Time) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	return t.Bind(s)
}

// Bind reads a parameter; see runtime.Binder.
func (t *Time) Bind(s string) (err error) {
	t.Time, err = domain.ParseTime("time", s)
	return err
}
