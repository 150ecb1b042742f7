package telemetry

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/niyanta/niyanta/contracttests/testfiles"
)

func TestFailures_WhileTheCollectorIsAway_AreOneLineAMinute(t *testing.T) {
	var log testfiles.Log
	clock := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f := &failures{
		log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return clock },
		hide: "http://c:4318/token/v1/traces", shown: "http://c:4318",
	}
	for i := range 13 {
		f.Handle(fmt.Errorf("batch %d: %w", i, errors.New("connection refused")))
		clock = clock.Add(10 * time.Second)
	}
	assert.Equal(t, 3, log.Count("spans were not exported"), log.String())
	assert.Contains(t, log.String(), `error="batch 0: connection refused" omitted=0`)
	assert.Contains(t, log.String(), `error="batch 6: connection refused" omitted=5`)
	assert.Contains(t, log.String(), `error="batch 12: connection refused" omitted=5`)
}
