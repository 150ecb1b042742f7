// Package gen holds the server side generated from api/openapi/niyanta-v1.yaml.
package gen

//go:generate oapi-codegen -config config.yaml ../../../api/openapi/niyanta-v1.yaml
