package archiving

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// schema is the version of the lines. A line of the same version may have more fields later.
const schema = 1

// line is an archived workload. The fields that a workload has in the API, too, have the same names
// and values there.
type line struct {
	Schema              int               `json:"schema"`
	WorkloadID          domain.WorkloadID `json:"workload_id"`
	CustomerID          domain.CustomerID `json:"customer_id"`
	WorkloadType        string            `json:"workload_type"`
	ConfigID            *string           `json:"config_id"`
	RetryOf             *string           `json:"retry_of"`
	Status              domain.Status     `json:"status"`
	StatusReason        *string           `json:"status_reason"`
	Priority            int               `json:"priority"`
	Labels              map[string]string `json:"labels"`
	Generation          int64             `json:"generation"`
	LastWorkerID        *string           `json:"last_worker_id"`
	ProgressPercent     float64           `json:"progress_percent"`
	ProgressMessage     *string           `json:"progress_message"`
	CheckpointSequence  int64             `json:"checkpoint_sequence"`
	RetryCount          int               `json:"retry_count"`
	MaxRetries          int               `json:"max_retries"`
	RedistributionCount int               `json:"redistribution_count"`
	ExecutedSeconds     float64           `json:"executed_seconds"`
	InputParams         json.RawMessage   `json:"input_params"`
	ResultData          json.RawMessage   `json:"result_data"`
	ErrorType           *string           `json:"error_type"`
	ErrorMessage        *string           `json:"error_message"`
	CreatedAt           time.Time         `json:"created_at"`
	RunAt               *time.Time        `json:"run_at"`
	ScheduledAt         *time.Time        `json:"scheduled_at"`
	StartedAt           *time.Time        `json:"started_at"`
	CompletedAt         *time.Time        `json:"completed_at"`
	ArchivedAt          time.Time         `json:"archived_at"`
}

func lineOf(w *domain.Workload) line {
	l := line{
		Schema: schema, WorkloadID: w.ID, CustomerID: w.CustomerID, WorkloadType: w.Type,
		ConfigID: text(string(w.ConfigID)), RetryOf: text(string(w.RetryOf)), Status: w.Status,
		StatusReason: text(w.Reason), Priority: w.Priority, Labels: w.Labels, Generation: w.Generation,
		LastWorkerID: text(string(w.LastWorkerID)), ProgressPercent: w.ProgressPercent,
		ProgressMessage: text(w.ProgressMessage), CheckpointSequence: w.CheckpointSequence, RetryCount: w.RetryCount,
		MaxRetries: w.Run.MaxRetries, RedistributionCount: w.RedistributionCount,
		ExecutedSeconds: w.Executed.Seconds(), InputParams: raw(w.Input), ResultData: raw(w.Result),
		CreatedAt: w.CreatedAt.UTC(), RunAt: at(w.RunAt), ScheduledAt: at(w.ScheduledAt), StartedAt: at(w.StartedAt),
		CompletedAt: at(w.FinishedAt), ArchivedAt: w.ArchivedAt.UTC(),
	}
	if l.Labels == nil {
		l.Labels = map[string]string{}
	}
	if w.Failure != nil {
		l.ErrorType, l.ErrorMessage = &w.Failure.Type, &w.Failure.Message
	}
	return l
}

// text returns nil for the empty text.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// at returns nil for the zero time.
func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// raw returns JSON as it is, and null for none.
func raw(j domain.JSON) json.RawMessage {
	if j == "" {
		return nil
	}
	return json.RawMessage(j)
}

// lines reads the lines of an object, compressed. It reads workloads page by page, so that it never
// has more than a page in memory.
type lines struct {
	ctx      context.Context //nolint:containedctx // it belongs to one call
	export   *export
	customer domain.CustomerID
	page     []domain.Workload // what comes next
	place    ports.ArchivePlace
	n, bytes int
	zip      io.WriteCloser // writes to ready
	ready    bytes.Buffer   // what is compressed and not read yet
	ended    bool
}

// Read implements io.Reader.
func (l *lines) Read(p []byte) (int, error) {
	for l.ready.Len() == 0 {
		if l.ended {
			return 0, io.EOF
		}
		if err := l.fill(); err != nil {
			return 0, err
		}
	}
	return l.ready.Read(p)
}

// fill compresses the lines of a page, and reads the next page.
func (l *lines) fill() error {
	for i := range l.page {
		w := &l.page[i]
		if w.CustomerID != l.customer || l.n >= linesLimit || l.bytes >= bytesLimit {
			l.ended = true
			return l.zip.Close()
		}
		b, err := encode(lineOf(w))
		if err != nil {
			return err
		}
		if _, err := l.zip.Write(b); err != nil {
			return err
		}
		l.n++
		l.bytes += len(b)
		l.place = ports.ArchivePlace{Customer: w.CustomerID, Workload: w.ID}
	}
	if len(l.page) < pageLimit {
		l.ended = true
		return l.zip.Close()
	}
	var err error
	l.page, err = l.export.deps.Retention.ArchivedIn(l.ctx, l.export.month, l.place, pageLimit)
	return err
}

// encode returns a line with its end.
func encode(l line) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(l)
	return b.Bytes(), err
}
