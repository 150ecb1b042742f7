package workloads

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/niyanta/niyanta/core/domain"
)

// BenchmarkExec_Start tells what a run of a program that does nothing costs, with namespaces of its
// own and without.
func BenchmarkExec_Start(b *testing.B) {
	for _, namespaces := range []string{"none", "required"} {
		b.Run("namespaces="+namespaces, func(b *testing.B) {
			h, err := newHost(Options{ExecAllow: []string{"true"}, ExecNamespaces: namespaces}, slog.New(slog.DiscardHandler))
			if err != nil {
				b.Skip(err)
			}
			defer func() { _ = h.close() }()
			tk := task(`{"command":["true"]}`)
			tk.Limits = domain.Amounts{}
			began := spent(b)
			for b.Loop() {
				if _, err := run(b.Context(), &program{host: h}, tk, &recorder{}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((spent(b)-began).Microseconds())/1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// spent returns the CPU time of this process and of its children.
func spent(b *testing.B) (sum time.Duration) {
	b.Helper()
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		require.NoError(b, unix.Getrusage(who, &r))
		sum += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return sum
}
