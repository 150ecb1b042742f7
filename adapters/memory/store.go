package memory

import (
	"sync"
	"time"

	"github.com/tidwall/btree"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Store is the storage behind all store ports. Make one with NewStore; Stores returns the ports.
type Store struct {
	clock ports.Clock

	mu        sync.Mutex
	workloads map[domain.WorkloadID]*record
	customers map[domain.CustomerID]*tenant
	deleted   map[domain.CustomerID]bool // their ids are never given out again
	lanes     map[domain.LaneID]*lane
	delayed   *btree.BTreeG[*record] // waiting, but not before a time to come
	holdings  map[domain.SessionID]*holding
	workers   map[domain.WorkerID]*domain.Worker
	// past are the sessions that have ended.
	past map[domain.SessionID]*domain.EndedSession
	// suspects is how many suspects those sessions had when they ended; not those that had none.
	suspects map[domain.SessionID]int
	// certificates are the processes that died, and when.
	certificates map[certificate]time.Time
	keys         map[string]*domain.APIKey  // by prefix
	tickets      map[[32]byte]domain.Ticket // by digest
	leader       leadership
	auditID      int64
	happened     *btree.BTreeG[happening] // to the workloads of all customers
	byWorker     map[domain.WorkerID][]domain.AuditEvent
	adminEventID int64
	adminEvents  []domain.AdminEvent           // oldest first
	archive      map[domain.WorkloadID]*record // without lines and checkpoints
	uploads      map[domain.BlobID]*upload
	garbage      map[domain.BlobID]garbage
	auditFrom    time.Time        // no audit event is older
	uses         []*domain.KeyUse // of idempotency keys, oldest first
	answers      []*domain.Answer // oldest first
	throughput   domain.Throughput
	demands      domain.Demands // of the last hours
}

// record is a workload with everything that belongs to it.
type record struct {
	domain.Workload
	audit       []domain.AuditEvent
	logs        []domain.LogLine
	logSeq      int64
	checkpoints []savedCheckpoint
	queued      *lane // the lane whose trees hold it
	isDelayed   bool
}

type savedCheckpoint struct {
	domain.Checkpoint
	data []byte
}

// tenant is a customer with everything that belongs to it.
type tenant struct {
	domain.Customer
	counts    counts
	byCreated *btree.BTreeG[*record]
	happened  *btree.BTreeG[happening]
	finished  *btree.BTreeG[*record] // by when they finished
	// logsPurged is the last of the finished workloads whose log lines were removed.
	logsPurged *record
	configs    map[domain.ConfigID]*domain.WorkloadConfig
	uses       map[string]*domain.KeyUse // by idempotency key
	answers    map[string]*domain.Answer // by request
}

// NewStore returns an empty store that reads its time from clock.
func NewStore(clock ports.Clock) *Store {
	return &Store{
		clock:     clock,
		workloads: map[domain.WorkloadID]*record{},
		customers: map[domain.CustomerID]*tenant{},
		deleted:   map[domain.CustomerID]bool{},
		lanes:     map[domain.LaneID]*lane{},
		delayed:   newTree(func(r *record) time.Time { return r.NotBefore }),
		holdings:  map[domain.SessionID]*holding{},
		workers:   map[domain.WorkerID]*domain.Worker{},
		past:      map[domain.SessionID]*domain.EndedSession{},
		suspects:  map[domain.SessionID]int{},
		keys:      map[string]*domain.APIKey{},
		tickets:   map[[32]byte]domain.Ticket{},
		happened:  newHappened(),
		byWorker:  map[domain.WorkerID][]domain.AuditEvent{},

		certificates: map[certificate]time.Time{},
		demands:      domain.Demands{},
		archive:      map[domain.WorkloadID]*record{},
		uploads:      map[domain.BlobID]*upload{},
		garbage:      map[domain.BlobID]garbage{},
	}
}

// Stores returns the store ports on this storage.
func (s *Store) Stores() ports.Stores {
	return ports.Stores{
		Workloads: workloads{s}, Queue: queue{s}, Insight: insight{s}, Statistics: statistics{s},
		Workers: workers{s}, Fleet: fleet{s}, Checkpoints: checkpoints{s}, Uploads: uploads{s}, Customers: customers{s},
		Configs: configs{s}, Keys: keys{s}, Tickets: tickets{s}, Audit: audit{s}, AdminAudit: adminAudit{s},
		Logs: logs{s}, Events: events{s}, Answers: answers{s}, Leader: leaderLease{s}, Retention: retention{s},
		Erasure: erasure{s},
	}
}

// now returns the store's time, in the precision that every store has.
func (s *Store) now() time.Time { return s.clock.Now().UTC().Truncate(time.Microsecond) }

// newTree returns a tree of records, ordered by a time and then by id. The time of a record must
// not change while it is in the tree.
func newTree(by func(*record) time.Time) *btree.BTreeG[*record] {
	return btree.NewBTreeGOptions(func(a, b *record) bool {
		if d := by(a).Compare(by(b)); d != 0 {
			return d < 0
		}
		return a.ID < b.ID
	}, btree.Options{NoLocks: true})
}

// findLocked returns a workload if it exists and belongs to the customer.
func (s *Store) findLocked(customer domain.CustomerID, id domain.WorkloadID) *record {
	r := s.workloads[id]
	if r == nil || r.CustomerID != customer {
		return nil
	}
	return r
}

// trailLocked returns a customer's workload, also from the archive: its audit trail is kept longer.
func (s *Store) trailLocked(customer domain.CustomerID, id domain.WorkloadID) *record {
	if r := s.findLocked(customer, id); r != nil {
		return r
	}
	if r := s.archive[id]; r != nil && r.CustomerID == customer {
		return r
	}
	return nil
}

func (s *Store) auditLocked(r *record, e domain.AuditEvent) {
	s.auditID++
	e.ID = s.auditID
	r.audit = append(r.audit, e)
	s.happened.Set(happening{e.ID, r})
	s.customers[r.CustomerID].happened.Set(happening{e.ID, r})
}
