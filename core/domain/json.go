package domain

import "encoding/json"

// JSON is a JSON text that is passed through without being understood: input parameters, results,
// configuration. A string rather than bytes: immutable, so that it is never aliased and needs no copy.
// The empty JSON stands for "none" and marshals as null.
type JSON string

// MarshalJSON implements json.Marshaler.
func (j JSON) MarshalJSON() ([]byte, error) {
	if j == "" {
		return []byte("null"), nil
	}
	return []byte(j), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (j *JSON) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*j = ""
		return nil
	}
	*j = JSON(b)
	return nil
}

// IsObject reports whether j is a well-formed JSON object.
func (j JSON) IsObject() bool {
	for i := 0; i < len(j); i++ {
		switch j[i] {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return json.Valid([]byte(j))
		}
		return false
	}
	return false
}
