// Package apispec checks HTTP answers against the OpenAPI file. It is stricter than a validator of
// schemas: a status, a header, a field or a media type that the file does not declare is an error,
// and so is a time that is not in UTC with milliseconds.
//
// A test checks the answers it reads with Spec.Check. Watch checks those that any client in the
// test's process reads, whatever package the client is in.
package apispec
