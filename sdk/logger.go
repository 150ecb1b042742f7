package niyanta

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// progressKey is the key of a run's ports.Progress in the context of its handler.
type progressKey struct{}

// Logger returns a logger whose records become lines of the log of the workload that ctx belongs
// to: ctx is the one that a Handler got, or comes from it. A record's attributes are the line's
// details. Outside of a handler it returns slog.Default().
//
// Debug records are kept too. Logging never blocks; of a workload the last 10,000 lines are kept.
func Logger(ctx context.Context) *slog.Logger {
	if p, ok := ctx.Value(progressKey{}).(ports.Progress); ok {
		return slog.New(&logHandler{progress: p})
	}
	return slog.Default()
}

// logHandler implements slog.Handler.
type logHandler struct {
	progress ports.Progress
	groups   []string // those that are open
	attrs    []placedAttr
}

// placedAttr is an attribute and the groups that it is in.
type placedAttr struct {
	groups []string
	slog.Attr
}

// Enabled implements slog.Handler.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler.
func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.attrs = slices.Clip(h.attrs)
	for _, a := range attrs {
		with.attrs = append(with.attrs, placedAttr{h.groups, a})
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.groups = append(slices.Clip(h.groups), name)
	return &with
}

// Handle implements slog.Handler.
func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	details := map[string]any{}
	for _, a := range h.attrs {
		addAttr(details, a.groups, a.Attr)
	}
	r.Attrs(func(a slog.Attr) bool {
		addAttr(details, h.groups, a)
		return true
	})
	line := ports.LogEntry{At: r.Time, Level: lineLevel(r.Level), Message: r.Message}
	if len(details) > 0 {
		b, err := json.Marshal(details)
		if err != nil {
			return fmt.Errorf("details: %w", err)
		}
		line.Details = domain.JSON(b)
	}
	h.progress.Log(line)
	return nil
}

// lineLevel is the level of a line.
func lineLevel(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return domain.LevelDebug
	case l < slog.LevelWarn:
		return domain.LevelInfo
	case l < slog.LevelError:
		return domain.LevelWarn
	}
	return domain.LevelError
}

// addAttr adds an attribute to an object, below its groups. A group without attributes adds nothing.
func addAttr(object map[string]any, groups []string, a slog.Attr) {
	value := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			groups = append(slices.Clip(groups), a.Key)
		}
		for _, member := range value.Group() {
			addAttr(object, groups, member)
		}
		return
	}
	for _, name := range groups {
		inner, ok := object[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			object[name] = inner
		}
		object = inner
	}
	object[a.Key] = detail(value)
}

// detail is a value as JSON can hold it. A value whose methods panic, as those of a nil pointer may, does
// not cost the run.
func detail(v slog.Value) (shown any) {
	defer func() {
		if p := recover(); p != nil {
			shown = fmt.Sprintf("!PANIC: %v", p)
		}
	}()
	switch v.Kind() {
	case slog.KindDuration:
		return v.Duration().String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339Nano)
	case slog.KindFloat64:
		if f := v.Float64(); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Sprint(f)
		}
		return v.Float64()
	case slog.KindAny:
	default:
		return v.Any()
	}
	switch x := v.Any().(type) {
	case json.Marshaler:
	case error:
		return x.Error()
	case fmt.Stringer:
		return x.String()
	}
	b, err := json.Marshal(v.Any())
	if err != nil {
		switch reflect.ValueOf(v.Any()).Kind() {
		case reflect.Func, reflect.Chan, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
			return fmt.Sprintf("%+v", v.Any())
		default: // fmt would follow a map that holds itself until the stack overflows, which ends the process
			return fmt.Sprintf("%T: %v", v.Any(), err)
		}
	}
	return json.RawMessage(b)
}
