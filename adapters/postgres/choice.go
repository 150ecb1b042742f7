package postgres

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/niyanta/niyanta/core/domain"
)

const (
	// A choice of lanes is made again when it is choiceAge old, or choiceCost times as old as it
	// took to make, whichever is later. So choices cost at most a twentieth of the time.
	choiceAge  = time.Second
	choiceCost = 20
)

// laneChoices keeps, for customers that have more lanes than a cycle considers, the lanes that
// are considered. To choose them, all lanes of the customer must be read, which takes time in
// proportion to their number. It happens beside the cycles, so that it delays nobody else's work.
// A choice may be some seconds old. Safe for concurrent use.
type laneChoices struct {
	mu      sync.Mutex
	choices map[domain.CustomerID]laneChoice
	making  bool
}

// laneChoice is the choice of one customer.
type laneChoice struct {
	lanes      []domain.LaneID
	aside, cut int
	roster     uint64
	made       time.Time
	cost       time.Duration
}

// known returns the customers that have a choice, and all chosen lanes. out counts the lanes that
// were not chosen.
func (c *laneChoices) known() (customers []string, lanes []string, out domain.QueueHeads) {
	c.mu.Lock()
	defer c.mu.Unlock()
	customers, lanes = []string{}, []string{} // NULL would be no list at all
	for _, id := range slices.Sorted(maps.Keys(c.choices)) {
		choice := c.choices[id]
		customers = append(customers, string(id))
		lanes = append(lanes, texts(choice.lanes)...)
		out.Aside, out.Cut = out.Aside+choice.aside, out.Cut+choice.cut
	}
	return customers, lanes, out
}

// next returns the customer whose choice is due, and claims the making of it. over are customers
// found to have more lanes than the limit. found counts the lanes of each customer in which
// something was found.
func (c *laneChoices) next(
	over []domain.CustomerID, found map[domain.CustomerID]int, roster uint64, now time.Time,
) (domain.CustomerID, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.making {
		return "", false
	}
	if c.choices == nil {
		c.choices = map[domain.CustomerID]laneChoice{}
	}
	for _, id := range over {
		if _, known := c.choices[id]; !known {
			c.making = true
			return id, true
		}
	}
	var oldest domain.CustomerID
	for id, choice := range c.choices {
		age := now.Sub(choice.made)
		outdated := choice.roster != roster || found[id] < (len(choice.lanes)+1)/2
		due := age >= max(choiceAge, choiceCost*choice.cost) || outdated && age >= choice.cost
		if due && (oldest == "" || choice.made.Before(c.choices[oldest].made)) {
			oldest = id
		}
	}
	c.making = oldest != ""
	return oldest, c.making
}

// done keeps a choice. A nil choice means that the customer needs none, or that none could be
// made.
func (c *laneChoices) done(id domain.CustomerID, choice *laneChoice) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.making = false
	if choice == nil {
		delete(c.choices, id)
		return
	}
	c.choices[id] = *choice
}

// choose makes the choice that is due, in a goroutine of its own.
func (q queue) choose(ctx context.Context, hq domain.HeadsQuery, over []domain.CustomerID, heads []domain.LaneHeads) {
	found := map[domain.CustomerID]int{}
	for i := range heads {
		found[heads[i].Lane.CustomerID]++
	}
	c := &q.s.choices
	id, due := c.next(over, found, hq.Roster.Version(), time.Now())
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), queryTimeout)
	go func() {
		defer cancel()
		choice, err := q.choice(ctx, hq, id)
		if err != nil {
			q.s.log.Warn("the lanes of a customer could not be chosen", "customer_id", id, "error", err)
		}
		c.done(id, choice)
	}()
}

// lanesOfSQL walks through a customer's lanes by index and reads the first workload of each. The
// character after '/' is '0'.
const lanesOfSQL = `WITH RECURSIVE l AS (
  (SELECT lane_id, queue_at FROM waiting WHERE lane_id > $1::text || '/' AND lane_id < $1::text || '0'
    ORDER BY lane_id, queue_at LIMIT 1)
  UNION ALL
  SELECT n.lane_id, n.queue_at FROM l CROSS JOIN LATERAL (
    SELECT lane_id, queue_at FROM waiting w WHERE w.lane_id > l.lane_id AND w.lane_id < $1::text || '0'
    ORDER BY w.lane_id, w.queue_at LIMIT 1) n)
SELECT lane_id, queue_at FROM l`

// choice looks at all lanes of a customer and chooses. It returns nil if the customer has no more
// than the limit.
func (q queue) choice(ctx context.Context, hq domain.HeadsQuery, id domain.CustomerID) (*laneChoice, error) {
	begun := time.Now()
	lanes := map[domain.LaneID]domain.Lane{}
	firsts, err := query(ctx, q.s.pool, func(row pgx.CollectableRow) (f domain.FirstOfLane, err error) {
		err = row.Scan(&f.Lane.ID, &f.Since)
		lanes[f.Lane.ID] = domain.Lane{}
		return f, err
	}, lanesOfSQL, string(id))
	if err != nil || len(firsts) <= hq.PerCustomer() {
		return nil, err
	}
	if err := q.s.fillLanes(ctx, lanes); err != nil {
		return nil, err
	}
	tier, err := queryOne[string](ctx, q.s.pool, "SELECT tier FROM customers WHERE customer_id = $1::text", string(id))
	if err != nil {
		return nil, err
	}
	for i := range firsts {
		firsts[i].Lane = lanes[firsts[i].Lane.ID]
	}
	c := &laneChoice{roster: hq.Roster.Version()}
	c.lanes, c.aside = hq.Choose(firsts, domain.Tier(tier))
	c.cut = len(firsts) - c.aside - len(c.lanes)
	c.made, c.cost = time.Now(), time.Since(begun)
	return c, nil
}
