package main

import (
	"time"

	"github.com/spf13/cobra"

	niyanta "github.com/niyanta/niyanta/sdk"
)

func adminAuditCommand(c *cli) *cobra.Command {
	var p niyanta.AdminAuditParams
	var since, until, order string
	var limit int
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "List what administrators did, the newest first; needs an admin key",
		Long: `List what administrators did, the newest first; needs an admin key. With -o json or jsonl, each
action has the state before and after.`,
		Example: `  niyanta audit --customer cust_acme --limit 20
  niyanta audit --since 2026-03-01T00:00:00Z --order asc --limit 0 -o jsonl`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: c.call(func(cmd *cobra.Command, cl *niyanta.Client, _ []string) error {
			for _, x := range []struct {
				flag, text string
				to         **time.Time
			}{{"since", since, &p.Since}, {"until", until, &p.Until}} {
				if x.text == "" {
					continue
				}
				t, err := moment(x.flag, x.text)
				if err != nil {
					return err
				}
				*x.to = &t
			}
			p.Order = niyanta.Order(order)
			var events []niyanta.AdminEvent
			for e, err := range cl.AdminAudit(cmd.Context(), p) {
				if err != nil {
					return err
				}
				if events = append(events, e); len(events) == limit {
					break
				}
			}
			return printList(c, cmd, adminEvents, events, nil)
		}),
	}
	fs := cmd.Flags()
	fs.StringVar(&p.ActorID, "actor", "", "only by this key id")
	fs.StringVar(&p.EventType, "event", "", "only this action, such as customer.updated")
	fs.StringVar(&p.TargetID, "target", "", "only to this customer, key, worker or workload")
	fs.StringVar(&p.CustomerID, "customer", "", "only what concerns this customer")
	fs.StringVar(&since, "since", "", "from this time on, RFC 3339")
	fs.StringVar(&until, "until", "", "before this time, RFC 3339")
	fs.StringVar(&order, "order", "", "asc or desc")
	fs.IntVar(&limit, "limit", 100, "how many; 0: all")
	completeFlag(cmd, "order", oneOf("asc", "desc"))
	completeFlag(cmd, "customer", c.completeCustomerFlag)
	for _, name := range []string{"actor", "event", "target", "since", "until", "limit"} {
		completeFlag(cmd, name, cobra.NoFileCompletions)
	}
	return c.flags(cmd)
}

var adminEvents = view[niyanta.AdminEvent]{
	collection: "events",
	columns: []column{
		{name: "TIME"}, {name: "EVENT"}, {name: "TARGET"}, {name: "ACTOR", text: true}, {name: "KEY", rank: 1},
		{name: "ADDRESS", rank: 2},
	},
	row: func(e *niyanta.AdminEvent) []any {
		return []any{clock(e.Timestamp), e.EventType, e.TargetID, e.ActorName, e.ActorID, e.Address}
	},
}
