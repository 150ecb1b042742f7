package conformance

import "encoding/json"

// The requests of a worker, as far as the kit looks at them.
type (
	registration struct {
		WorkerID          string   `json:"worker_id"`
		SessionID         string   `json:"session_id"`
		PreviousSessionID string   `json:"previous_session_id"`
		ProcessID         string   `json:"process_id"`
		CertificateDigest string   `json:"certificate_digest"`
		Capabilities      []string `json:"capabilities"`
		Slots             int      `json:"slots"`
		TakeOver          bool     `json:"take_over"`
		Draining          bool     `json:"draining"`
	}
	heartbeat struct {
		WorkerID  string `json:"worker_id"`
		SessionID string `json:"session_id"`
		Number    int64  `json:"number"`
		FreeSlots int    `json:"free_slots"`
		Inventory []struct {
			WorkloadID string `json:"workload_id"`
			Generation int64  `json:"generation"`
			State      string `json:"state"`
		} `json:"inventory"`
		Draining bool `json:"draining"`
		Drained  bool `json:"drained"`
	}
	pollRequest struct {
		WorkerID  string `json:"worker_id"`
		SessionID string `json:"session_id"`
		WaitMS    int64  `json:"wait_ms"`
	}
	reportRequest struct {
		WorkerID  string   `json:"worker_id"`
		SessionID string   `json:"session_id"`
		Reports   []report `json:"reports"`
	}
	report struct {
		ReportID        string          `json:"report_id"`
		WorkloadID      string          `json:"workload_id"`
		Generation      int64           `json:"generation"`
		Event           string          `json:"event"`
		Reason          string          `json:"reason"`
		Result          json.RawMessage `json:"result"`
		ProgressPercent *float64        `json:"progress_percent"`
		StillRunning    bool            `json:"still_running"`
		RetryAfterMS    int64           `json:"retry_after_ms"`
		Failure         *struct {
			Type      string `json:"type"`
			Message   string `json:"message"`
			Permanent bool   `json:"permanent"`
		} `json:"failure"`
	}
	sessionEnd struct {
		WorkerID  string `json:"worker_id"`
		SessionID string `json:"session_id"`
		ProcessID string `json:"process_id"`
		Secret    string `json:"secret"`
	}
)

// The answers of the coordinator.
type (
	command struct {
		Kind       string      `json:"kind"`
		SessionID  string      `json:"session_id"`
		WorkloadID string      `json:"workload_id,omitempty"`
		Generation int64       `json:"generation,omitempty"`
		Reason     string      `json:"reason,omitempty"`
		Assignment *assignment `json:"assignment,omitempty"`
		Later      string      `json:"a_field_of_a_later_version,omitempty"`
	}
	assignment struct {
		WorkloadID           string            `json:"workload_id"`
		CustomerID           string            `json:"customer_id"`
		Type                 string            `json:"workload_type"`
		Generation           int64             `json:"generation"`
		Input                json.RawMessage   `json:"input_params"`
		Labels               map[string]string `json:"labels"`
		CheckpointIntervalMS int64             `json:"checkpoint_interval_ms"`
		TimeoutMS            int64             `json:"timeout_ms"`
		MaxRetries           int               `json:"max_retries"`
		Attempt              int               `json:"attempt"`
		CheckpointSequence   int64             `json:"checkpoint_sequence,omitempty"`
	}
	answer struct {
		ReportID string `json:"report_id,omitempty"`
		Outcome  string `json:"outcome"`
		Status   string `json:"status,omitempty"`
		Reason   string `json:"reason,omitempty"`
	}
)

// The kinds of requests.
const (
	onRegister  = "register"
	onHeartbeat = "heartbeat"
	onPoll      = "poll"
	onReport    = "report"
	onSave      = "save"
	onLoad      = "load"
	onEnd       = "end"
)

// The outcomes of a report.
const (
	applied  = "applied"
	already  = "already"
	fenced   = "fenced"
	illegal  = "illegal"
	notFound = "not_found"
)

// ends says which reports end a run.
var ends = map[string]bool{"complete": true, "fail": true, "paused": true, "release": true, "decline": true}
