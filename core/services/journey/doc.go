// Package journey holds no code: its tests drive the services together, one tick at a time, on
// memory adapters and a clock that only moves when a test says so. They show that services need no
// goroutine and no real time.
package journey
