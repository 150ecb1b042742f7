// Package rpc translates between the messages of api/niyanta/v1 and the requests and answers of
// the operations in the OpenAPI file. A method says in the .proto file which operation it calls.
// Its message becomes the HTTP request of that operation, and the JSON of the answer becomes its
// answer.
//
// The package knows messages and operations. What serves a method, and who may call it, is decided
// by the operation, in package http.
package rpc
