package niyantatest_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	niyanta "github.com/niyanta/niyanta/sdk"
	"github.com/niyanta/niyanta/sdk/niyantatest"
)

// TestStream_AcrossCrashes_ContinuesFromTheBytesThatWereSaved also reads a state twice and saves it
// again as it is.
func TestStream_AcrossCrashes_ContinuesFromTheBytesThatWereSaved(t *testing.T) {
	def := niyanta.Define[int, niyanta.Stream, string]("stream")
	read := func(s niyanta.Stream) (string, error) {
		r, err := s.Open()
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(r)
		return string(b), err
	}
	kit := niyantatest.New(def, func(ctx context.Context, task *niyanta.Task[int, niyanta.Stream]) (string, error) {
		done, err := read(task.State())
		if err != nil {
			return "", err
		}
		if again, _ := read(task.State()); again != done || task.Resumed() == (done == "") ||
			task.State().Size() != int64(len(done)) {
			return "", niyanta.Permanent(fmt.Errorf("%q and %q", done, again))
		}
		if err := task.Checkpoint(ctx, task.State(), niyanta.Progress{}); err != nil && done != "" {
			return "", err
		}
		for len(done) < task.Input() {
			done += "x"
			if err := task.Checkpoint(ctx, niyanta.StreamFrom(func(w io.Writer) error {
				_, err := io.WriteString(w, done)
				return err
			}), niyanta.Progress{}); err != nil {
				return "", err
			}
		}
		return done, nil
	})
	out, err := kit.RunCrashingAfter(t.Context(), 2, 5)
	require.NoError(t, err)
	assert.Equal(t, "xxxxx", out)
	assert.Greater(t, kit.Runs(), 2)
}
