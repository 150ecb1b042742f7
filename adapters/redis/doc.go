// Package redis implements ports.RateLimiter (GCRA, one script per request) and ports.Bus
// (publish/subscribe) on Redis.
//
// The bus uses publish/subscribe rather than streams: hints need no history, there are wildcards,
// and nothing must be trimmed. Redis knows no queue groups. Each process with members of a group
// claims a message by its id, and the first one delivers it; see docs/decisions/0009-redis-bus.md.
package redis
