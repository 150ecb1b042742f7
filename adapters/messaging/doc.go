// Package messaging carries the worker protocol, and the hints between processes, over any
// ports.Bus. Client is a worker's ports.ControlPlane. Server is the coordinator's end of it. Hints
// implements ports.Notifier and ports.Listener.
//
// Every message is a JSON envelope. Unknown fields are ignored. Unknown types and bad messages are
// counted and logged, and answered if they are requests. ports.ControlPlane says what the calls
// mean.
package messaging
