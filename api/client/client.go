// Package client is the Go client generated from api/openapi/niyanta-v1.yaml. Programs use package
// niyanta (sdk), which stands on it.
package client

import (
	"encoding/json"
	"time"
)

//go:generate oapi-codegen -config config.yaml ../openapi/niyanta-v1.yaml

// Time is a time of the API.
type Time = time.Time

// RawObject is the text of a JSON object that is passed through.
type RawObject = json.RawMessage
