//go:build defects

package defects

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	only    = flag.String("only", "", "plant only the defects whose name contains this")
	byLayer = flag.String("by", "", "run only the layers of tests whose name contains this")
	write   = flag.String("write", "", "the file to write the table to")
	news    = flag.Bool("new", false, "plant only the defects that the file does not have yet, and keep its rows")
)

// tests are the tests of a layer.
var tests = map[layer][]string{
	sim:         {"./simulation", "-run", "WhateverGoesWrong", "-seeds", "2000"},
	exhaustive:  {"./simulation", "-run", "EveryOrdering", "-depth", "5"},
	crashPoints: {"./simulation/crashpoints", "-each", "1"},
	onMemory:    {"./adapters/memory", "-run", "Contracts$"},
	onPostgres:  {"./adapters/postgres", "-run", "TestStoresKeepTheirContracts$"},
	lostCommits: {"./adapters/postgres", "-run", "TestCommit_"},
	plane:       {"./bootstrap", "-run", "InProcess_KeepsItsContract"},
	properties:  {"./core/domain/..."},
	engine:      {"./core/services/execution", "-timeout=1m"},
	tenants:     {"./bootstrap", "-run", "NamesOfAnotherCustomer|Ticket_OfMany"},
	updates:     {"./core/services/live"},
	archive:     {"./core/services/archiving", "./core/services/journey", "-run", "Archive"},
}

// kill plants a defect and runs the tests of one layer. It returns what noticed the defect, or ""
// if nothing did.
func (d defect) kill(t *testing.T, by layer) (how string) {
	dir := t.TempDir()
	sources, err := d.apply()
	if !assert.NoError(t, err) {
		return ""
	}
	replace := map[string]string{}
	for file, text := range sources {
		original, err := filepath.Abs(filepath.Join(root, file))
		assert.NoError(t, err)
		replace[original] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		assert.NoError(t, os.WriteFile(replace[original], []byte(text), 0o600))
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	assert.NoError(t, err)
	assert.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600))
	cmd := exec.Command("go", append([]string{"test", "-count=1", "-timeout=8m",
		"-overlay=" + filepath.Join(dir, "overlay.json")}, tests[by]...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // seeds run one after the other, so their number is comparable
	out, err := cmd.CombinedOutput()
	if err == nil {
		return ""
	}
	if strings.Contains(string(out), "[build failed]") {
		assert.Fail(t, "a defect must compile", "%s: %s", d.name, out)
		return ""
	}
	if strings.Contains(string(out), "panic: test timed out") {
		// The tests of the engine wait for what a defect keeps from happening. The others have
		// bounds of their own, so a timeout tells only of a slow machine.
		if by != engine {
			assert.Fail(t, "the tests timed out", "%s by %s", d.name, by)
			return ""
		}
		return "the tests wait for ever"
	}
	return evidence(by, string(out))
}

var (
	seed     = regexp.MustCompile(`seed (\d+): ([^\n]*)`)
	ordering = regexp.MustCompile(`after (\d+) orderings: (.*)`)
	boundary = regexp.MustCompile(`(?m)Messages:\s+(.* at boundary \d+),`)
	failed   = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)
)

// evidence returns the seed, the ordering, the boundary or the case that noticed the defect, from
// the output of the tests.
func evidence(by layer, out string) string {
	switch by {
	case sim:
		if m := seed.FindStringSubmatch(out); m != nil {
			return fmt.Sprintf("seed %s, %s", m[1], strings.SplitN(m[2], ":", 2)[0])
		}
	case exhaustive:
		if m := ordering.FindStringSubmatch(out); m != nil {
			return fmt.Sprintf("%s orderings, %s", m[1], strings.SplitN(m[2], ":", 2)[0])
		}
	case crashPoints:
		if m := boundary.FindStringSubmatch(out); m != nil {
			return m[1]
		}
		return "the course itself"
	default:
		var cases []string
		for _, m := range failed.FindAllStringSubmatch(out, -1) {
			cases = append(cases, m[1])
		}
		cases = slices.DeleteFunc(cases, func(c string) bool { // those that failed because a case within did
			return slices.ContainsFunc(cases, func(o string) bool { return strings.HasPrefix(o, c+"/") })
		})
		if len(cases) > 0 {
			_, name, nested := strings.Cut(cases[0], "/")
			if !nested {
				name = cases[0]
			}
			return fmt.Sprintf("%s (%d)", strings.ReplaceAll(name, "_", " "), len(cases))
		}
	}
	return strings.TrimSpace(out[max(0, len(out)-200):])
}

func TestDefects_EachOne_IsKilled(t *testing.T) {
	type job struct{ d, by int }
	jobs := make(chan job)
	rows := make([][]string, len(defects))
	kept := map[string]string{}
	if *news {
		kept = keptRows(t)
	}
	var wg sync.WaitGroup
	for range runtime.NumCPU() {
		wg.Go(func() {
			for j := range jobs {
				d := defects[j.d]
				how := d.kill(t, d.by[j.by])
				assert.NotEmpty(t, how, "%s survives the %s", d.name, d.by[j.by])
				rows[j.d][j.by] = fmt.Sprintf("%s: %s", d.by[j.by], how)
				fmt.Println(d.name, "-", rows[j.d][j.by])
			}
		})
	}
	for i, d := range defects {
		rows[i] = make([]string, len(d.by))
		if strings.Contains(d.name, *only) && kept[d.start()] == "" {
			for k, l := range d.by {
				if strings.Contains(string(l), *byLayer) {
					jobs <- job{i, k}
				}
			}
		}
	}
	close(jobs)
	wg.Wait()
	if *write == "" || t.Failed() {
		return
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "# Planted defects\n\nWritten by `make defects`: each mistake is built into the tests, one at a "+
		"time, and must be noticed by every layer that is named. A\n"+
		"number of seeds or orderings is how many it took; a number in brackets is how many cases of the suite "+
		"failed.\n\n| mistake | in | noticed by |\n|---|---|---|\n")
	for i, d := range defects {
		row := kept[d.start()]
		if row == "" {
			row = d.start() + strings.Join(rows[i], "; ") + " |"
		}
		fmt.Fprintln(b, row)
	}
	require.NoError(t, os.WriteFile(filepath.Join(root, *write), []byte(b.String()), 0o600))
}

// start returns the start of the defect's row.
func (d defect) start() string { return fmt.Sprintf("| %s | `%s` | ", d.name, d.file) }

// keptRows returns the rows of the file that name each layer of their defect, by their starts.
func keptRows(t *testing.T) map[string]string {
	table, err := os.ReadFile(filepath.Join(root, *write))
	require.NoError(t, err)
	kept := map[string]string{}
	for line := range strings.Lines(string(table)) {
		for _, d := range defects {
			rest, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), d.start())
			if found && !slices.ContainsFunc(d.by, func(l layer) bool { return !strings.Contains(rest, string(l)+": ") }) {
				kept[d.start()] = d.start() + rest
			}
		}
	}
	return kept
}
