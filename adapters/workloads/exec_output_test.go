//go:build linux || darwin

package workloads

import (
	"bytes"
	"context"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// What a program writes gives the same lines however the system hands it over.
func TestOutput_HoweverItIsCutIntoPieces_GivesTheSameLines(t *testing.T) {
	const most = domain.MaxLogMessage
	var text bytes.Buffer
	var want []string
	for _, n := range []int{0, 1, most - 1, most, most + 1, 2*most - 1, 2 * most, 2*most + 1, 40_000, 3} {
		line := strings.Repeat("x", n)
		text.WriteString(line + "\n")
		for len(line) > most {
			want, line = append(want, line[:most]), line[most:]
		}
		want = append(want, line)
	}
	text.WriteString(strings.Repeat("\u00e9", most) + "\r\n") // two bytes each
	want = append(want, strings.Repeat("\u00e9", most/2), strings.Repeat("\u00e9", most/2))
	text.WriteString("x" + strings.Repeat("\u00e9", most/2) + "\n")
	want = append(want, "x"+strings.Repeat("\u00e9", most/2-1), "\u00e9")
	text.WriteString(strings.Repeat("\x80", most+1) + "\nend") // no characters at all
	want = append(want, strings.Repeat("\x80", most), "\x80", "end")
	for _, size := range []int{1, 7, 1000, most - 1, most, most + 1, 32 << 10, text.Len()} {
		p := &recorder{}
		o := newOutput(p, "stdout", domain.LevelInfo)
		for rest := text.Bytes(); len(rest) > 0; {
			n := min(size, len(rest))
			_, err := o.Write(rest[:n])
			require.NoError(t, err)
			rest = rest[n:]
		}
		o.flush()
		var got []string
		for _, line := range p.lines {
			got = append(got, line.Message)
		}
		require.Equal(t, want, got, "pieces of %d", size)
	}
}

// A program that has spoken once and reads nothing is asked at each interval, for as long as it runs.
func TestAsk_OfAProgramThatDoesNotRead_GathersNothing(t *testing.T) {
	mine, theirs := net.Pipe() // nothing is written before somebody reads
	t.Cleanup(func() { _ = mine.Close(); _ = theirs.Close() })
	c := &conversation{
		progress: &recorder{}, conn: mine, spoke: true, done: make(chan struct{}), broken: make(chan struct{}),
	}
	before := runtime.NumGoroutine()
	for range 200 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		require.ErrorIs(t, c.ask(ctx), ports.ErrNoCheckpoint)
		cancel()
	}
	require.Less(t, runtime.NumGoroutine(), before+50)
}
