// Package http is the REST API: routes generated from the OpenAPI file, and around them
// authentication, roles, rate limits, guards against hostile bodies, the error envelope, health and
// documentation.
//
// Handlers translate between the API's types and the core's and decide nothing. The driven side,
// the worker protocol as a client, lives in workerclient.
package http
