// Package redis implements ports.RateLimiter (GCRA, one script per request) and ports.Bus
// (publish/subscribe) on Redis.
//
// The bus uses publish/subscribe rather than streams: hints need no history, wildcards come for
// free, and nothing must be trimmed. Redis knows no queue groups; each process that has members of
// a group claims a message by its id, and the first one delivers it (see
// docs/decisions/0009-redis-bus.md).
package redis
