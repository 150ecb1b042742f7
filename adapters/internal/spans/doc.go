// Package spans is what the adapters that record spans share: how the origin of a request and the
// spans of OpenTelemetry become each other.
package spans
