package domain

import "strings"

// JSON is a well-formed JSON text that is passed through without being understood: input
// parameters, results, configuration. Who makes one of bytes that come from outside checks them:
// nothing parses it again on its way into a store. A string rather than bytes: immutable, so that
// it is never aliased and needs no copy. The empty JSON stands for "none" and marshals as null.
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

// IsObject reports whether j is an object, by how it begins.
func (j JSON) IsObject() bool {
	return strings.HasPrefix(strings.TrimLeft(string(j), " \t\r\n"), "{")
}
