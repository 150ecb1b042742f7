// Package openapi holds the OpenAPI file, the source of the HTTP surface.
package openapi

import _ "embed"

// YAML is the file.
//
//go:embed niyanta-v1.yaml
var YAML []byte
