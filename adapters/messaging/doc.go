// Package messaging carries the worker protocol and the hints between processes over any ports.Bus: Client is a worker's
// ports.ControlPlane, Server the coordinator's end of it, Hints implements ports.Notifier and ports.Listener.
//
// Every message is a JSON envelope. Unknown fields are ignored, unknown types logged and counted, bad messages dropped
// and counted; none of them can stop a consumer. What the calls mean is ports.ControlPlane's to say; which technology
// carries them, the Bus's.
package messaging
