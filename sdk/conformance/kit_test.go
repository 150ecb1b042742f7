package conformance_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/niyanta/niyanta/contracttests/dear"
	"github.com/niyanta/niyanta/sdk/conformance"
)

// root is the root of the repository.
const root = "../.."

// python returns the interpreter that the Python SDK is tested with.
func python(t *testing.T) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(root, "scripts", "python"), "find").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

func TestWorkers_InEachLanguage_KeepEachRule(t *testing.T) {
	goWorker := filepath.Join(t.TempDir(), "worker")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", goWorker, root+"/examples/count/worker").
		CombinedOutput()
	require.NoError(t, err, string(out))
	count := filepath.Join(root, "examples", "count")
	for _, w := range []struct {
		name    string
		dear    bool
		command []string
	}{
		{"Go with the SDK", false, []string{goWorker}},
		{"plain Node.js", false, []string{"node", filepath.Join(count, "worker.mjs")}},
		{"Python with the SDK", true, []string{"env", "PYTHONPATH=" + filepath.Join(root, "sdk", "python", "src"),
			"PYTHONDONTWRITEBYTECODE=1", python(t), filepath.Join(count, "worker.py")}},
		{"plain Python", true, []string{python(t), filepath.Join(root, "docs", "protocol", "worker.py")}},
	} {
		if w.dear && !dear.Whole() {
			dear.Left(t, w.name)
			continue
		}
		t.Run(w.name, func(t *testing.T) {
			verdicts, err := conformance.Try(t.Context(), w.command, conformance.Options{Parallel: 8})
			require.NoError(t, err)
			require.Len(t, verdicts, len(conformance.Cases()))
			for i, v := range verdicts {
				if !v.Kept && v.Level != conformance.May { // alone, a machine that is busy for a while does not break it again
					t.Logf("tried again: %s: %s", v.Name, v.Found)
					again, err := conformance.Try(t.Context(), w.command, conformance.Options{Only: v.Name})
					require.NoError(t, err)
					at := slices.IndexFunc(again, func(a conformance.Verdict) bool { return a.Name == v.Name })
					require.NotEqual(t, -1, at)
					verdicts[i] = again[at]
				}
				if v = verdicts[i]; v.Level != conformance.May {
					assert.True(t, v.Kept, "%s: %s\n%s", v.Name, v.Found, v.Output)
				}
			}
			assert.Equal(t, !t.Failed(), conformance.Passed(verdicts))
		})
	}
}

// TestTry_OfAWorkerWithAMistake_NamesTheRule plants mistakes in the worker of the protocol's page.
func TestTry_OfAWorkerWithAMistake_NamesTheRule(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile(filepath.Join(root, "docs", "protocol", "worker.py"))
	require.NoError(t, err)
	interpreter := python(t)
	for _, m := range dear.Some(t, 3, []struct{ name, old, text, rule string }{
		{"it never fences itself", ">= self.lease * 0.8", ">= self.lease * 1000", "wakes from a freeze"},
		{"it gives a report up", "delay = min(2 * delay, 2)\n", "raise Refused('no patience')\n",
			"repeats a start without an answer"},
		{"a checkpoint is sent again with other bytes", "data=json.dumps(state).encode(), timeout=30)",
			"data=os.urandom(8), timeout=30)", "continues from a checkpoint"},
		{"a save without an answer is given up", `run.save(state, round(100 * state["at"] / to, 1))`, `try:
                call("PUT", run.path(run.sequence + 1), data=json.dumps(state).encode(), timeout=30)
                run.sequence += 1
                run.wanted.clear()
            except OSError:
                pass`, "settles a save before a pause"},
		{"checkpoints skip a number", "self.sequence += 1\n", "self.sequence += 2\n", "saves checkpoints in sequence"},
		{"an older state follows a newer one", "data=json.dumps(state).encode(), timeout=30)",
			`data=json.dumps({**state, "at": state["at"] - 20 * (self.sequence % 2)}).encode(), timeout=30)`,
			"saves checkpoints in sequence"},
		{"each registration is of another session", "Session(asked, previous)", "Session(fresh(), previous)",
			"repeats a registration without an answer"},
		{"a fenced registration counts as an id that is taken", `if error["code"] == "FENCED":`, "if False:",
			"begins another session"},
		{"it takes more than its slots", "elif len(self.runs) >= SLOTS:", "elif False:", "runs as many as it has slots"},
		{"it takes what it has already", "if key in self.runs or key in self.ended:", "if False:",
			"takes an assignment once"},
		{"it ignores fenced", `if answer["outcome"] not in ("applied", "already"):`, "if False:", "stops a fenced run"},
		{"it obeys commands for other sessions", `if command["session_id"] != self.id:`, "if False:",
			"ignores what is not meant for it"},
		{"it leaves its runs behind", "            session.drain()\n            while session.runs and",
			"            while False and", "leaves on SIGTERM"},
		{"it forgets the timeout", "if timeout and", "if False and", "keeps the timeout"},
		{"a drain saves nothing", "if run.stopped.is_set() or run.wanted.is_set() or", "if", "drains"},
		{"a page that is not found means that no checkpoint is left", "or not code and e.code != 413:", "or False:",
			"takes only a coordinator's answers"},
		{"it follows redirects", "build_opener(NoRedirect)", "build_opener()", "follows no redirect"},
		{"heartbeats tell no runs", `for r in self.runs.values()]`, "for r in []]", "tells what it holds"},
	}) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, 1, strings.Count(string(source), m.old), "the mistake does not fit the source")
			broken := filepath.Join(t.TempDir(), "worker.py")
			require.NoError(t, os.WriteFile(broken, []byte(strings.Replace(string(source), m.old, m.text, 1)), 0o600))
			// A mistake shows in what the worker happens to send first, which is not the same each time.
			var verdicts []conformance.Verdict
			var err error
			for try := 0; try < 3 && (try == 0 || conformance.Passed(verdicts)); try++ {
				verdicts, err = conformance.Try(t.Context(), []string{interpreter, broken}, conformance.Options{Only: m.rule})
				require.NoError(t, err)
			}
			for _, v := range verdicts {
				assert.False(t, v.Kept, "the kit does not notice: %s", v.Rule)
				t.Log(v.Found)
			}
		})
	}
}

func TestTry_WhenNoRuleHasTheName_SaysSo(t *testing.T) {
	t.Parallel()
	_, err := conformance.Try(t.Context(), []string{"true"}, conformance.Options{Only: "no such rule"})
	require.ErrorContains(t, err, `"no such rule"`)
}

func TestTry_OfACommandThatEnds_SaysSoAtOnce(t *testing.T) {
	t.Parallel()
	verdicts, err := conformance.Try(t.Context(), []string{"false"}, conformance.Options{Only: "runs an assignment"})
	require.NoError(t, err)
	require.Len(t, verdicts, 1)
	assert.False(t, verdicts[0].Kept)
	assert.Contains(t, verdicts[0].Found, "its process has exited: exit status 1")
}

// TestPage_OfTheKit_HasEachRule compares the table of the page with the kit.
func TestPage_OfTheKit_HasEachRule(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "docs", "protocol", "conformance.md"))
	require.NoError(t, err)
	var table strings.Builder
	for _, c := range conformance.Cases() {
		fmt.Fprintf(&table, "| %s | %s | %s |\n", c.Name, c.Level, c.Rule)
	}
	assert.Contains(t, string(page), table.String(), "the page's table must be:\n%s", table.String())
}
