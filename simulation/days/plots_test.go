//go:build plots

package days

import (
	"encoding/csv"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/core/domain"
)

var write = flag.String("write", "", "the folder to write the data of the plots to")

const (
	fleet = 20 // workers
	grain = 2 * time.Second
)

func save(t *testing.T, name string, points []Point) {
	t.Helper()
	f, err := os.Create(filepath.Join(*write, name+".csv"))
	require.NoError(t, err)
	require.NoError(t, WriteCSV(f, points))
	require.NoError(t, f.Close())
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 0, 64) }

// TestPlots_OfADay_AreWritten writes the data of the day under each policy.
func TestPlots_OfADay_AreWritten(t *testing.T) {
	var p95, byDefault []Point
	table := [][]string{{"policy", "tier", "priority", "workloads", "p50_s", "p95_s", "max_s"}}
	for _, p := range []domain.Policy{domain.PolicyFIFO, domain.PolicyPriority, domain.PolicyFair} {
		began := time.Now()
		r := run(t, Day(p, fleet, grain))
		fmt.Printf(
			"%s: %d workloads, longest wait at %.3f of the bound, took %s\n", p, r.Placed(), r.WaitOfBound(),
			time.Since(began).Round(time.Second),
		)
		for _, tier := range domain.Tiers() {
			for _, priority := range []int{anyPriority, 0, domain.DefaultPriority, 100, domain.MaxPriority} {
				waits := r.Waits(tier, priority)
				name := "all"
				if priority != anyPriority {
					name = strconv.Itoa(priority)
				}
				table = append(table, []string{string(p), string(tier), name, strconv.Itoa(len(waits)),
					seconds(Quantile(waits, 0.5)), seconds(Quantile(waits, 0.95)), seconds(Quantile(waits, 1))})
			}
			p95 = append(p95, Point{string(tier), string(p), Quantile(r.Waits(tier, anyPriority), 0.95).Minutes()})
			byDefault = append(
				byDefault,
				Point{string(tier), string(p), Quantile(r.Waits(tier, domain.DefaultPriority), 0.95).Minutes()},
			)
		}
		save(t, "day-waiting-"+string(p), r.WaitingSeries())
		save(t, "day-slots-"+string(p), r.ShareSeries(30*time.Minute, false))
	}
	save(t, "day-wait-p95", p95)
	save(t, "day-wait-p95-default", byDefault)
	f, err := os.Create(filepath.Join(*write, "day-waits.csv"))
	require.NoError(t, err)
	require.NoError(t, csv.NewWriter(f).WriteAll(table))
	require.NoError(t, f.Close())
}

// TestPlots_OfShares_AreWritten writes the data of a day on which every customer always has workloads waiting.
func TestPlots_OfShares_AreWritten(t *testing.T) {
	for name, runs := range map[string]map[domain.Tier]time.Duration{
		"equal": Equal(2 * time.Minute),
		"unequal": {
			domain.TierFree: time.Hour, domain.TierStandard: 10 * time.Minute, domain.TierPremium: time.Minute,
			domain.TierEnterprise: 10 * time.Second,
		},
	} {
		began := time.Now()
		r := run(t, Backlogged(runs, fleet, grain))
		fmt.Printf("%s runs: %d workloads, took %s\n  by weight %.4f\n  had       %.4f\n", name, r.Placed(),
			time.Since(began).Round(time.Second),
			r.Weights(), r.Shares())
		save(t, "shares-"+name, r.ShareSeries(24*time.Hour, true))
	}
}

// TestPlots_OfAnElasticFleet_AreWritten writes the data of a day on a fleet that an autoscaler sizes.
func TestPlots_OfAnElasticFleet_AreWritten(t *testing.T) {
	r := run(t, ElasticDay(5*fleet, grain))
	fmt.Printf("elastic: %d workloads, utilisation %.3f\n", r.Placed(), r.UtilisationOfElastic())
	save(t, "scaling-day", r.FleetSeries())
}
