package main

import (
	"strings"
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

// filterFlags are the flags that select workloads.
type filterFlags struct {
	statuses, labels            []string
	workloadType, after, before string
}

func (f *filterFlags) flags(c *cli, cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringArrayVar(&f.statuses, "status", nil, "only these states, repeatable")
	fs.StringVar(&f.workloadType, "type", "", "only this workload type")
	fs.StringArrayVar(&f.labels, "label", nil, "key=value, repeatable; all must match")
	fs.StringVar(&f.after, "created-after", "", "only those created after this time, RFC 3339")
	fs.StringVar(&f.before, "created-before", "", "only those created before this time, RFC 3339")
	completeFlag(cmd, "status", oneOf(statusNames...))
	completeFlag(cmd, "type", c.completeTypeFlag)
	for _, name := range []string{"label", "created-after", "created-before"} {
		completeFlag(cmd, name, cobra.NoFileCompletions)
	}
}

// given reports whether any of the flags was given.
func (f *filterFlags) given() bool {
	return len(f.statuses)+len(f.labels) > 0 || f.workloadType+f.after+f.before != ""
}

func (f *filterFlags) filter() (niyanta.BulkFilter, error) {
	b := niyanta.BulkFilter{WorkloadType: set(f.workloadType)}
	if _, err := pairs("label", f.labels); err != nil {
		return b, err
	}
	if len(f.labels) > 0 {
		b.Label = &f.labels
	}
	if len(f.statuses) > 0 {
		b.Status = new([]niyanta.Status)
		for _, s := range f.statuses {
			*b.Status = append(*b.Status, niyanta.Status(strings.ToUpper(s)))
		}
	}
	for _, x := range []struct {
		flag, text string
		to         **time.Time
	}{{"created-after", f.after, &b.CreatedAfter}, {"created-before", f.before, &b.CreatedBefore}} {
		if x.text == "" {
			continue
		}
		t, err := moment(x.flag, x.text)
		if err != nil {
			return b, err
		}
		*x.to = &t
	}
	return b, nil
}
