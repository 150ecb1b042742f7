//go:build noisy

package bootstrap

import (
	"flag"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

var (
	noisyRounds = flag.Int("noisy-rounds", 5, "rounds with and rounds without the noisy tenant")
	noisyLength = flag.Duration("noisy-length", 10*time.Second, "how long a round takes")
)

// The noisy tenant sends noisyFactor times what its rate allows. The quiet one submits at its own
// rate, far below its limits.
const (
	noisyRate   = 10.0
	noisyFactor = 20
	quietRate   = 50.0
)

// TestRateLimit_TenantAt20TimesItsRate_LeavesOthersTheirP95 measures the submissions of one
// customer over HTTP, on PostgreSQL with fsync on, alone and beside another customer that sends 20
// times what its rate allows. Rounds with and without the noisy customer alternate, so that a
// machine that becomes slower slows both. It is run by `make noisy` and takes two minutes.
func TestRateLimit_TenantAt20TimesItsRate_LeavesOthersTheirP95(t *testing.T) {
	d, _ := onPostgres(t, 0)
	a := newAPIOf(t, d)
	quiet := unlimited(t, d, "cust_quiet")
	noisy := a.tenant("cust_noisy", map[string]any{
		"rate_limit_per_sec": noisyRate, "burst": int(noisyRate), "max_queue_depth": 1_000_000,
	})
	fmt.Printf("%s, %d processors, PostgreSQL with fsync on; %d rounds of %s each\n\n", runtime.Version(),
		runtime.NumCPU(), *noisyRounds, *noisyLength)
	fmt.Println("| round | noisy tenant | sent | refused | quiet tenant: submissions | p50 | p95 |")
	fmt.Println("|---|---|---|---|---|---|---|")
	var alone, beside []time.Duration
	submitFor(t, d, quiet, quietRate, *noisyLength/5) // the first ones prepare statements and connections
	for round := range *noisyRounds {
		without := submitFor(t, d, quiet, quietRate, *noisyLength)
		fmt.Printf("| %d | - | - | - | %d | %s | %s |\n", round+1, len(without.took), without.at(50), without.at(95))

		var noise, with submitted
		var wg sync.WaitGroup
		wg.Go(func() { noise = submitFor(t, d, noisy, noisyRate*noisyFactor, *noisyLength) })
		with = submitFor(t, d, quiet, quietRate, *noisyLength)
		wg.Wait()
		sent := len(noise.took) + noise.refused
		fmt.Printf("| %d | %d x its rate | %d | %d | %d | %s | %s |\n", round+1, noisyFactor, sent, noise.refused,
			len(with.took), with.at(50), with.at(95))
		assert.Greater(t, float64(sent), noisyFactor*noisyRate*noisyLength.Seconds()*0.9,
			"the noisy tenant must send 20 times its rate")
		assert.Less(t, float64(len(noise.took)), noisyRate*(noisyLength.Seconds()+2), "it was limited to its rate")
		assert.Zero(t, without.refused+with.refused, "the quiet tenant is within its limits")
		alone, beside = append(alone, without.at(95)), append(beside, with.at(95))
	}
	was, is := median(alone), median(beside)
	fmt.Printf("\np95 of the quiet tenant, median of the rounds: %s alone, %s beside the noisy one (%+.1f %%)\n", was, is,
		100*(float64(is)/float64(was)-1))
	assert.LessOrEqual(t, is, was+was/5)
}
