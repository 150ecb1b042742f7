package lifecycle

import (
	"context"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// customersPerPage bounds how many customers a page of ListAll looks at.
const customersPerPage = 100

// Everybody is a page of the workloads of all customers.
type Everybody struct {
	Items []domain.Workload
	// Next is where the next page begins; nil when there is none.
	Next *EverybodyCursor
}

// EverybodyCursor is a position in the workloads of all customers: behind After in those of a
// customer. If After is nil, it is behind all of them.
type EverybodyCursor struct {
	Customer domain.CustomerID
	After    *ports.Cursor
}

// ListAll returns a page of the workloads of all customers, for administrators. It is ordered by
// customer, and as q says within a customer; q.Customer, q.After and q.Offset are not
// used. So a page reads a few pages of customers, however many workloads there are. It may have
// fewer items than q.Limit, or none, though there are more: if few of many customers have any.
func (s *Service) ListAll(ctx context.Context, q ports.WorkloadQuery, from EverybodyCursor) (Everybody, error) {
	var out Everybody
	limit := q.Limit
	q.Offset = 0
	add := func(customer domain.CustomerID, after *ports.Cursor) (full bool, err error) {
		q.Customer, q.After, q.Limit = customer, after, limit-len(out.Items)
		page, err := s.deps.Workloads.List(ctx, q)
		if err != nil {
			return false, err
		}
		out.Items = append(out.Items, page.Items...)
		out.Next = &EverybodyCursor{customer, page.Next}
		return page.Next != nil || len(out.Items) >= limit, nil
	}
	if from.After != nil {
		if full, err := add(from.Customer, from.After); full || err != nil {
			return out, err
		}
	}
	customers, err := s.deps.Customers.List(ctx, from.Customer, customersPerPage)
	if err != nil {
		return out, err
	}
	for i := range customers {
		if full, err := add(customers[i].ID, nil); full || err != nil {
			return out, err
		}
	}
	if len(customers) < customersPerPage {
		out.Next = nil
	}
	return out, nil
}
