package messaging

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// Version of the envelope.
const Version = 1

// dataLimit bounds the data of a checkpoint that goes over the bus. Larger data needs another way.
const dataLimit = 512 << 10

// messageLimit bounds a message. It leaves room for data in base64.
const messageLimit = 2 * dataLimit

// Envelope is around every message.
type Envelope struct {
	MessageID     string    `json:"message_id"`
	Type          string    `json:"type"`
	Version       int       `json:"version"`
	Timestamp     time.Time `json:"timestamp"`
	SenderID      string    `json:"sender_id"`
	SenderType    string    `json:"sender_type"`
	CorrelationID string    `json:"correlation_id,omitempty"`
	// Origin tells the hints of a process from those of the others.
	Origin  string          `json:"origin,omitempty"`
	Payload json.RawMessage `json:"payload,omitempty"`
	// Error is set in replies that refuse.
	Error *Refusal `json:"error,omitempty"`

	// whole is the message, if Payload is all that follows its name in it: see head.
	whole []byte
}

// Refusal is an error on its way.
type Refusal struct {
	Code    domain.Code    `json:"code"`
	Message string         `json:"message"`
	Details map[string]any `json:"details,omitempty"`
}

// Types of messages. What would be one message per workload in a busy system travels in lists.
const (
	typeRegister  = "worker.register"
	typeHeartbeat = "worker.heartbeat"
	typeReports   = "worker.reports"
	typeSave      = "worker.checkpoint_save"
	typeLoad      = "worker.checkpoint_load"
	typeEnd       = "worker.end"
	typePing      = "worker.ping"
	typeReply     = "reply"
	typeWake      = "coordinator.wake"
	typeUpdates   = "workload.updates"
	// typeFollows says that a process follows updates. It goes where wakes go.
	typeFollows  = "coordinator.follows"
	typeCommands = "worker.commands"
	// typeFetch tells a worker that a command waits for it that is too large for the bus.
	typeFetch = "worker.fetch"
)

// Party is a sender of messages.
type Party struct {
	ID, Kind string // Kind is "worker" or "coordinator"
	Prefix   string // of all subjects, empty or ending in "."
	Clock    ports.Clock
	IDs      ports.IDs
	origin   string // of hints
}

// encode makes a message.
func (p Party) encode(messageType string, payload any) ([]byte, error) {
	return p.encodeReply(messageType, "", payload, nil)
}

// encodeReply makes a message that answers the one with the id correlation.
func (p Party) encodeReply(messageType, correlation string, payload any, refusal *Refusal) ([]byte, error) {
	data, err := json.Marshal(struct {
		Envelope
		Payload any `json:"payload"` // in place of the envelope's, so that it is encoded once
	}{Envelope{
		MessageID: p.IDs.New("msg_"), Type: messageType, Version: Version, Timestamp: p.Clock.Now().UTC(),
		SenderID: p.ID, SenderType: p.Kind, CorrelationID: correlation, Origin: p.origin, Error: refusal,
	}, payload})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", messageType, err)
	}
	return data, nil
}

func (p Party) events() string { return p.Prefix + "coordinator.events" }
func (p Party) wake() string   { return p.Prefix + "coordinator.wake" }
func (p Party) status(id domain.WorkerID) string {
	return p.Prefix + "worker." + string(id) + ".status"
}
func (p Party) commands(id domain.WorkerID) string {
	return p.Prefix + "worker." + string(id) + ".commands"
}
func (p Party) updates() string { return p.Prefix + "workload.updates" }
