package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/niyanta/niyanta/sdk/conformance"
)

func conformanceCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "conformance", Short: "Try an implementation of a protocol against its rules"}
	cmd.AddCommand(conformanceWorkerCommand(&cli{}))
	return cmd
}

func conformanceWorkerCommand(c *cli) *cobra.Command {
	var o conformance.Options
	var list bool
	cmd := &cobra.Command{
		Use:   "worker [flags] -- command [argument...]",
		Short: "Try a worker in any language against the worker protocol",
		Long: `Try a worker in any language against the worker protocol.

It starts a scripted coordinator for each rule, runs the command against it, and says which rules
the worker keeps. The command gets the coordinator's address in NIYANTA_COORDINATOR_URL, a key in
NIYANTA_WORKER_KEY, and a worker id in NIYANTA_WORKER_ID. It must offer the workload type "count",
which docs/protocol/conformance.md describes.

It exits with 1 if a rule is broken that a worker must or should keep.`,
		Example: `  niyanta conformance worker -- python3 docs/protocol/worker.py
  niyanta conformance worker --only freeze -- ./my-worker
  niyanta conformance worker --list`,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if list {
				var vs []conformance.Verdict
				for _, r := range conformance.Cases() {
					vs = append(vs, conformance.Verdict{Name: r.Name, Level: r.Level, Rule: r.Rule})
				}
				return printList(c, cmd, rules, vs, nil)
			}
			if len(args) == 0 {
				return usage(errors.New("name the worker's command after --"))
			}
			began := time.Now()
			vs, err := conformance.Try(cmd.Context(), args, o)
			if err != nil {
				return err
			}
			if err := printList(c, cmd, verdicts, vs, nil); err != nil {
				return err
			}
			broken := 0
			for _, v := range vs {
				if v.Kept || v.Level == conformance.May {
					continue
				}
				broken++
				if out := strings.TrimSpace(v.Output); out != "" && c.output == formatTable {
					say(cmd, "\n%s: the worker's last output:\n%s", v.Name, out)
				}
			}
			say(cmd, "%s tried in %s", counted(len(vs), "rule"), time.Since(began).Round(time.Second))
			if !conformance.Passed(vs) {
				return fmt.Errorf("the worker breaks %s that it must or should keep", counted(broken, "rule"))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&o.Only, "only", "", "try only the rules whose name contains this")
	cmd.Flags().IntVar(&o.Parallel, "parallel", 4, "how many rules to try at once")
	cmd.Flags().BoolVar(&list, "list", false, "list the rules, and try nothing")
	completeFlag(cmd, "only", cobra.NoFileCompletions)
	completeFlag(cmd, "parallel", cobra.NoFileCompletions)
	c.outputFlag(cmd)
	return cmd
}

var (
	rules = view[conformance.Verdict]{
		collection: "rules",
		columns:    []column{{name: "NAME"}, {name: "LEVEL"}, {name: "RULE", text: true}},
		row:        func(v *conformance.Verdict) []any { return []any{v.Name, string(v.Level), v.Rule} },
	}
	verdicts = view[conformance.Verdict]{
		collection: "verdicts",
		columns:    []column{{name: "NAME"}, {name: "LEVEL"}, {name: "KEPT"}, {name: "FOUND", text: true}},
		row: func(v *conformance.Verdict) []any {
			kept := "yes"
			if !v.Kept {
				kept = "no"
			}
			return []any{v.Name, string(v.Level), kept, v.Found}
		},
	}
)
