package niyanta

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// lines is a run's progress that keeps the lines.
type lines struct {
	ports.Progress
	mu   sync.Mutex
	kept []ports.LogEntry
}

func (l *lines) Log(e ports.LogEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, e)
}

func withLines(ctx context.Context) (context.Context, *lines) {
	l := &lines{}
	return context.WithValue(ctx, progressKey{}, l), l
}

func TestLogger_IsAHandlerAsSlogWantsIt(t *testing.T) {
	ctx, l := withLines(t.Context())
	err := slogtest.TestHandler(Logger(ctx).Handler(), func() []map[string]any {
		var results []map[string]any
		for _, e := range l.kept {
			m := map[string]any{}
			if e.Details != "" {
				require.NoError(t, json.Unmarshal([]byte(e.Details), &m))
			}
			m[slog.LevelKey], m[slog.MessageKey] = e.Level, e.Message
			if !e.At.IsZero() {
				m[slog.TimeKey] = e.At
			}
			results = append(results, m)
		}
		return results
	})
	require.NoError(t, err)
}

// shy is text only through its method.
type shy struct{ hidden int }

func (shy) String() string { return "shown" }

func TestLogger_KeepsEveryKindOfValue(t *testing.T) {
	ctx, l := withLines(t.Context())
	at := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	Logger(ctx).With("who", "me").WithGroup("g").Error("it broke",
		"text", "a\"b", "n", 7, "f", 0.5, "inf", math.Inf(1), "ok", true, "took", 1500*time.Millisecond, "at", at,
		"err", errors.New("why"), "list", []int{1, 2}, "func", func() {}, "shy", shy{1}, "nil", nil,
		slog.Group("in", "x", 1), slog.Group("empty"))
	require.Len(t, l.kept, 1)
	var d map[string]any
	require.NoError(t, json.Unmarshal([]byte(l.kept[0].Details), &d))
	g, ok := d["g"].(map[string]any)
	require.True(t, ok)
	assert.Contains(t, g["func"], "0x")
	delete(g, "func")
	assert.Equal(t, map[string]any{"who": "me", "g": map[string]any{
		"text": "a\"b", "n": 7.0, "f": 0.5, "inf": "+Inf", "ok": true, "took": "1.5s", "at": "2026-01-02T03:04:05.000006Z",
		"err": "why", "list": []any{1.0, 2.0}, "shy": "shown", "nil": nil, "in": map[string]any{"x": 1.0},
	}}, d)
	assert.Equal(t, domain.LevelError, l.kept[0].Level)
	assert.True(t, l.kept[0].Details.IsObject())
}

// unready has methods that do not take a nil pointer, as many have.
type unready struct{ name string }

func (u *unready) Error() string { return u.name }

type failing struct{}

func (failing) MarshalJSON() ([]byte, error) { panic("not yet") }

// What a handler logs must not cost its run, or the whole worker: a stack that overflows cannot be caught.
func TestLogger_WithAValueThatCannotBeShown_ShowsWhy(t *testing.T) {
	ctx, l := withLines(t.Context())
	loop := map[string]any{"f": func() {}}
	loop["loop"] = loop
	list := []any{nil}
	list[0] = list
	Logger(ctx).Info("odd", "loop", loop, "list", list, "nil", (*unready)(nil), "json", failing{}, "n", 1)
	require.Len(t, l.kept, 1)
	var d map[string]any
	require.NoError(t, json.Unmarshal([]byte(l.kept[0].Details), &d))
	assert.Contains(t, d["loop"], "map[string]interface {}: json: ")
	assert.Contains(t, d["list"], "[]interface {}: json: ")
	assert.Contains(t, d["nil"], "!PANIC: ")
	assert.Equal(t, "!PANIC: not yet", d["json"])
	assert.EqualValues(t, 1, d["n"])
}

func TestLogger_HasTheLevelsOfTheAPI(t *testing.T) {
	ctx, l := withLines(t.Context())
	for _, level := range []slog.Level{-8, slog.LevelDebug, slog.LevelInfo, 2, slog.LevelWarn, slog.LevelError, 12} {
		Logger(ctx).Log(ctx, level, "m")
	}
	var got []string
	for _, e := range l.kept {
		got = append(got, e.Level)
	}
	assert.Equal(t, []string{"DEBUG", "DEBUG", "INFO", "INFO", "WARN", "ERROR", "ERROR"}, got)
	assert.Empty(t, l.kept[0].Details)
}

func TestLogger_OutsideOfAHandler_IsTheDefault(t *testing.T) {
	assert.Same(t, slog.Default(), Logger(t.Context()))
}

func TestLogger_OfALoggerThatIsShared_DoesNotMixAttributes(t *testing.T) {
	ctx, l := withLines(t.Context())
	base := Logger(ctx).With("a", 1)
	one, two := base.With("b", 1), base.With("c", 1)
	one.Info("one")
	two.Info("two")
	base.WithGroup("g").Info("three", "d", 1)
	assert.JSONEq(t, `{"a":1,"b":1}`, string(l.kept[0].Details))
	assert.JSONEq(t, `{"a":1,"c":1}`, string(l.kept[1].Details))
	assert.JSONEq(t, `{"a":1,"g":{"d":1}}`, string(l.kept[2].Details))
}
