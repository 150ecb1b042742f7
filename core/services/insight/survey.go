package insight

import (
	"context"
	"sync"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

const (
	// surveyFor is how long a survey serves; surveyMost how many it counts in a lane.
	surveyFor  = 2 * time.Second
	surveyMost = 200
)

// survey is a picture with how long each lane is, that serves the estimates of many submissions.
type survey struct {
	taking sync.Mutex // held by whoever takes the next one
	mu     sync.Mutex
	taken  time.Time
	p      *picture
	counts []int
}

// current returns the last survey, taking a new one when it is old. Only one caller at a time pays for that; the others take what there is.
func (s *Service) current(ctx context.Context) (*picture, []int) {
	s.recent.mu.Lock()
	p, counts, old := s.recent.p, s.recent.counts, s.Clock.Now().Sub(s.recent.taken) >= surveyFor
	s.recent.mu.Unlock()
	if !old || !s.recent.taking.TryLock() {
		return p, counts
	}
	defer s.recent.taking.Unlock()
	next, err := s.look(ctx)
	if err == nil {
		whole := make([]ports.Cutoff, len(next.lanes))
		for i := range whole {
			whole[i].Lane = next.lanes[i].ID
		}
		counts, err = s.Insight.Ahead(ctx, whole, surveyMost)
	}
	s.recent.mu.Lock()
	defer s.recent.mu.Unlock()
	s.recent.taken = s.Clock.Now() // also when it failed: estimates are not worth a second try
	s.recent.p, s.recent.counts = next, counts
	if err != nil {
		s.recent.p = nil
	}
	return s.recent.p, s.recent.counts
}

// Estimate tells when a workload that was just submitted may start, with how sure that is; zero when nothing tells it. It comes from the same
// pace as Explain's, and from a picture that may be seconds old.
func (s *Service) Estimate(ctx context.Context, w *domain.Workload) (time.Time, domain.Confidence) {
	p, counts := s.current(ctx)
	if p == nil {
		return time.Time{}, ""
	}
	lane := domain.NewLane(&w.Spec)
	return p.estimate(&lane, w.NotBefore, p.ahead(&lane, p.before(&lane, w.QueueAt, counts), surveyMost), p.verdict(&lane))
}

// before are the lanes whose first workload is served before one of this lane: the whole lane counts as being before it.
func (p *picture) before(lane *domain.Lane, queueAt time.Time, counts []int) []int {
	own := p.advance(lane)
	out := make([]int, len(counts))
	for i := range p.lanes {
		if p.Policy == domain.PolicyFair || p.oldest[i].Add(-p.advance(&p.lanes[i])).Before(queueAt.Add(-own)) {
			out[i] = counts[i]
		}
	}
	return out
}

// verdict explains a lane once for each picture.
func (p *picture) verdict(lane *domain.Lane) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, known := p.verdicts[lane.ID]
	if !known {
		v = verdictOf(p.Explain(*lane))
		p.verdicts[lane.ID] = v
	}
	return v
}
