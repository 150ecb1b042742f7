package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/niyanta/niyanta/bootstrap"
	niyanta "github.com/niyanta/niyanta/sdk"
)

// The results of a check.
const (
	findingOK      = "ok"
	findingWarning = "warning"
	findingProblem = "problem"
)

// clockTolerance is the allowed difference between two clocks. With a larger one, times from both
// machines cannot be compared, and keys expire and workloads start at other times than expected.
const clockTolerance = 2 * time.Second

// doctorTimeout is the timeout of each request to a coordinator.
const doctorTimeout = 5 * time.Second

// finding is the result of one check, with advice.
type finding struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Found  string `json:"found"`
	Advice string `json:"advice,omitempty"`
}

// examinedRoles are the roles whose settings can be examined.
var examinedRoles = []string{
	string(bootstrap.RoleServer), string(bootstrap.RoleCoordinator), string(bootstrap.RoleWorker),
	string(bootstrap.RoleScaleExporter),
}

func doctorCommand(c *cli) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check configuration, coordinators, clocks, versions and the key, and say what to do",
		Long: `Check configuration, coordinators, clocks, versions and the key, and say what to do.
With --as it also reads the settings of a server in this environment as that server would, and asks
the database, the bus, the rate limiter, the archive or the coordinators that they name.
It changes nothing. It exits with 1 if it finds a problem, and with 0 if there are only warnings.`,
		Example: `  niyanta doctor
  niyanta doctor --context prod -o json
  niyanta doctor --as coordinator`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if as != "" && !slices.Contains(examinedRoles, as) {
				return usage(fmt.Errorf("--as must be %s, not %q", strings.Join(examinedRoles, ", "), as))
			}
			d := &doctor{as: bootstrap.Role(as)}
			d.examine(cmd.Context(), c)
			var err error
			if c.output == formatTable {
				err = d.print(c, cmd)
			} else {
				err = printList(c, cmd, findings, d.found, nil)
			}
			if err != nil {
				return err
			}
			if n := d.problems(); n > 0 {
				return fmt.Errorf("found %s", counted(n, "problem"))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&as, "as", "",
		"examine the settings of this environment as those of a server, coordinator, worker or scale-exporter")
	completeFlag(cmd, "as", oneOf(examinedRoles...))
	return c.flags(cmd)
}

var findings = view[finding]{
	collection: "findings",
	columns:    []column{{name: "CHECK"}, {name: "RESULT"}, {name: "FOUND", text: true}},
	row:        func(f *finding) []any { return []any{f.Check, f.Result, f.Found} },
}

// doctor collects findings.
type doctor struct {
	found []finding
	// as is the role whose settings are examined. It is empty if none was named.
	as bootstrap.Role
	// leaders are the addresses of coordinators that say they lead.
	leaders []string
}

func (d *doctor) add(check, result, found, advice string) {
	d.found = append(d.found, finding{check, result, found, advice})
}

func (d *doctor) problems() (n int) {
	for _, f := range d.found {
		if f.Result == findingProblem {
			n++
		}
	}
	return n
}

func (d *doctor) print(c *cli, cmd *cobra.Command) error {
	if err := printList(c, cmd, findings, d.found, nil); err != nil {
		return err
	}
	for _, f := range d.found {
		if f.Advice != "" {
			if _, err := fmt.Fprintf(cmd.OutOrStdout(), "\n%s: %s\n", f.Check, f.Advice); err != nil {
				return err
			}
		}
	}
	return nil
}

// examine makes all checks. It leaves out those that an earlier failure makes pointless.
func (d *doctor) examine(ctx context.Context, c *cli) {
	t, err := c.target()
	if err != nil {
		d.add("configuration", findingProblem, err.Error(), "")
		return
	}
	d.add("coordinator", findingOK, t.url+", from "+t.urlSource, "")
	d.contexts(c)
	d.serverSettings(ctx, os.Environ())
	cl, err := t.client()
	if err != nil {
		d.add("configuration", findingProblem, err.Error(), "correct "+t.urlSource)
		return
	}
	cl.Close()
	answers := 0
	for address := range strings.SplitSeq(t.url, ",") {
		if d.coordinator(ctx, t, strings.TrimSpace(address)) {
			answers++
		}
	}
	switch {
	case t.key == "":
		d.add("key", findingProblem, "there is none", t.errNoKey().Error())
	case answers > 0:
		d.oneFleet(ctx, t)
		d.key(ctx, t)
	}
}

// contexts checks the file of contexts.
func (d *doctor) contexts(c *cli) {
	s, err := openContexts(os.Getenv)
	if err != nil {
		d.add("contexts", findingProblem, err.Error(), "")
		return
	}
	if len(s.Contexts) == 0 {
		return
	}
	found := fmt.Sprintf("%s in %s", counted(len(s.Contexts), "context"), s.path)
	name := setInEnvironment()
	switch {
	case s.readableByOthers():
		d.add("contexts", findingProblem, s.path+" holds keys, and others may read it", "chmod 600 "+s.path)
	case name != "" && c.context == "" && s.Current != "":
		d.add("contexts", findingWarning, fmt.Sprintf("%s is set and goes before the current context %s", name, s.Current),
			fmt.Sprintf("unset %s, or say --context %s", name, s.Current))
	default:
		d.add("contexts", findingOK, found, "")
	}
}

// coordinator checks one coordinator, and reports whether it answers as one.
func (d *doctor) coordinator(ctx context.Context, t target, address string) bool {
	d.certificate(ctx, address)
	t.url, t.key = address, ""
	cl, err := t.client(niyanta.RetryFor(0))
	if err != nil {
		d.add("reach", findingProblem, address+": "+err.Error(), "")
		return false
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, doctorTimeout)
	defer cancel()
	begin := time.Now()
	health, err := cl.Health(ctx)
	took := time.Since(begin)
	if err != nil {
		found, advice := unreachable(ctx, address, err)
		d.add("reach", findingProblem, address+": "+found, advice)
		return false
	}
	d.add("reach", findingOK, fmt.Sprintf("%s answers in %s", address, took.Round(time.Millisecond)), "")
	d.version(address, health)
	d.clock(address, health.Timestamp, begin, took)
	d.readiness(ctx, address, cl)
	return true
}

// unreachable returns what a failed request shows, and advice.
func unreachable(ctx context.Context, address string, err error) (found, advice string) {
	var e *niyanta.Error
	if !errors.As(err, &e) {
		return fmt.Sprintf("no answer within %s", doctorTimeout), "the process may stand still or be starved of processor " +
			"time, or a firewall or proxy between this machine and the coordinator drops what is sent"
	}
	var transport *url.Error
	found = unavailable(e)
	switch {
	case strings.HasPrefix(address, "http://") && speaksTLS(ctx, address):
		return found, "the server speaks TLS: use https://"
	case !errors.As(err, &transport):
		return found, "the server is no coordinator, or is older than this command: check the address"
	case strings.Contains(found, "refused"):
		return found, "nothing listens there: start a coordinator (niyanta dev for a try), or correct the address"
	case strings.Contains(found, "no such host"):
		return found, "this machine cannot resolve the name: check the address and DNS"
	case strings.Contains(found, "certificate"), strings.Contains(found, "tls"):
		return found, "the certificate is not trusted, has expired, or is for another name; see docs/operations/tls.md"
	case strings.Contains(found, "HTTP response to HTTPS"):
		return found, "it does not speak TLS: use http://"
	}
	return found, "check firewalls and proxies between this machine and the coordinator"
}

func (d *doctor) version(address string, h niyanta.Health) {
	switch {
	case h.Version == "":
		d.add("version", findingProblem, address+" does not report its version: it is older than this command",
			"upgrade the coordinators, or use the command of their version")
	case h.Version != version:
		d.add("version", findingWarning, fmt.Sprintf("%s is %s, this command %s", address, h.Version, version),
			"use the same version if commands are refused or fields are missing")
	default:
		d.add("version", findingOK, fmt.Sprintf("%s and this command are %s", address, version), "")
	}
}

// clock compares the clocks. The answer was made between begin and begin+took.
func (d *doctor) clock(address string, theirs, begin time.Time, took time.Duration) {
	if theirs.IsZero() {
		return // the coordinator is too old to report its time, which the check of the version shows
	}
	var apart time.Duration
	switch end := begin.Add(took); {
	case theirs.Before(begin):
		apart = theirs.Sub(begin)
	case theirs.After(end):
		apart = theirs.Sub(end)
	}
	if apart.Abs() <= clockTolerance {
		d.add("clock", findingOK, fmt.Sprintf("that of %s agrees with this machine's", address), "")
		return
	}
	direction := "ahead of"
	if apart < 0 {
		direction = "behind"
	}
	d.add("clock", findingProblem, fmt.Sprintf("that of %s is %s %s this machine's", address,
		apart.Abs().Round(100*time.Millisecond), direction),
		"have both machines set their clocks by NTP (timedatectl, chronyc tracking)")
}

func (d *doctor) readiness(ctx context.Context, address string, cl *niyanta.Client) {
	r, err := cl.Ready(ctx)
	if err != nil {
		d.add("ready", findingProblem, address+": "+err.Error(), "")
		return
	}
	if r.IsLeader {
		d.leaders = append(d.leaders, address)
	}
	var missing []string
	for _, x := range [][2]string{
		{"the database", r.Dependencies.Database}, {"the broker", r.Dependencies.Broker},
		{"the rate limiter", r.Dependencies.RateLimiter}, {"the replica", or(r.Dependencies.Replica, "")},
		{"the archive", or(r.Dependencies.Archive, "")},
		{"the storage of large checkpoints", or(r.Dependencies.Checkpoints, "")},
		{"the identity provider", or(r.Dependencies.IdentityProvider, "")},
	} {
		if x[1] != "" && x[1] != "connected" {
			missing = append(missing, x[0]+" is "+strings.ReplaceAll(x[1], "_", " "))
		}
	}
	switch certificate := or(r.Dependencies.Certificate, ""); certificate {
	case "", "valid":
	case "not_replaced":
		missing = append(missing, "its new certificate cannot be used, the earlier one is shown")
	default:
		missing = append(missing, "its certificate is "+certificate)
	}
	if or(r.Dependencies.EncryptionKeys, "") == "refused" {
		d.add("encryption", findingWarning, address+": a storage cannot use the key of a customer",
			"its large checkpoints and the lines of its archived workloads wait until the key can be used or is "+
				"removed (niyanta customer update ID --encryption-key none); the coordinator's log names it, see "+
				"docs/operations/large-checkpoints.md")
	}
	if !r.Dependencies.LeaderElected {
		missing = append(missing, "no coordinator leads")
	}
	found := address + " is " + strings.Join(append([]string{r.Status}, missing...), ": ")
	switch r.Status {
	case "ready":
		d.add("ready", findingOK, found, "")
	case "degraded":
		advice := "requests are served; its log says more"
		if or(r.Dependencies.Archive, "") == "disconnected" {
			advice += "; nothing is dropped from the archive before it is written: check NIYANTA_ARCHIVE_URL, the bucket " +
				"and its credentials"
		}
		if or(r.Dependencies.Checkpoints, "") == "disconnected" {
			advice += "; large checkpoints are neither saved nor restored: check NIYANTA_CHECKPOINT_URL, the bucket and its " +
				"credentials"
		}
		d.add("ready", findingWarning, found, advice)
	default:
		d.add("ready", findingProblem, found, "its log says more; it recovers by itself when its dependencies are back")
	}
}
