package redis

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// claimTTL is how long Redis remembers which process of a group took a message.
	claimTTL = 30 * time.Second
	// memberTTL is how long a process counts as a member of a group after a claim.
	memberTTL = 10 * time.Second
	// courtesy is how long a process leaves a message to each member that should take it first.
	courtesy = 300 * time.Microsecond
)

// share is this process's part in a queue group.
type share struct {
	key string // the group and its topic

	mu sync.Mutex
	// ahead is how many members should win a claim before this process wins another one.
	ahead int
}

// claiming takes a message for a process unless another one has it, and counts the members of the
// group. It returns 1 or 0, and the number of members.
var claiming = redis.NewScript(`
local won = redis.call("SET", KEYS[1], ARGV[1], "NX", "EX", ARGV[2])
local now = tonumber(redis.call("TIME")[1])
redis.call("ZADD", KEYS[2], now, ARGV[1])
redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", now - tonumber(ARGV[3]))
redis.call("EXPIRE", KEYS[2], ARGV[3])
return {won and 1 or 0, redis.call("ZCARD", KEYS[2])}
`)

// claim takes a message for this process's members of a group. The first process to claim a message
// gets it. Without more, the process nearest to Redis would get them all, so whoever wins leaves
// the next messages to the other members, as many as there are. The one that has waited longest
// claims first.
func (b *Bus) claim(ctx context.Context, s *share, id string) bool {
	bounded, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	s.mu.Lock()
	wait := time.Duration(s.ahead) * courtesy
	s.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
	keys := []string{"niyanta.claim." + id + "." + s.key, "niyanta.members." + s.key}
	answer, err := claiming.Run(bounded, b.client, keys, b.inbox, int(claimTTL.Seconds()),
		int(memberTTL.Seconds())).Int64Slice()
	if err != nil {
		b.log.Debug("message not claimed", "group", s.key, "error", err)
		return false
	}
	won, members := answer[0] == 1, int(answer[1])
	s.mu.Lock()
	defer s.mu.Unlock()
	if won {
		s.ahead = members - 1
	} else {
		s.ahead = max(s.ahead-1, 0)
	}
	return won
}
