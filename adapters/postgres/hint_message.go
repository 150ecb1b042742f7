package postgres

import (
	"encoding/json"

	"github.com/niyanta/niyanta/core/domain"
	"github.com/niyanta/niyanta/core/ports"
)

// pendingHints is what waits to be sent to the other processes.
type pendingHints struct {
	// presence says to tell that this process is there.
	presence bool
	// ask says to ask the others whether they are there.
	ask      bool
	wakes    []string
	commands []addressed
	updates  []ports.Update
}

// addressed is a command and the worker that it is for.
type addressed struct {
	Worker  domain.WorkerID `json:"w"`
	Command ports.Command   `json:"c"`
}

// hintMessage is the payload of a notification. Its fields have short names, because payloads are
// small.
type hintMessage struct {
	From     string            `json:"f"`
	Presence *presence         `json:"p,omitempty"`
	Wakes    []string          `json:"w,omitempty"`
	Commands []json.RawMessage `json:"c,omitempty"`
	Updates  []json.RawMessage `json:"u,omitempty"`
}

// presence is what a process says of itself.
type presence struct {
	// Follows reports whether the process wants updates.
	Follows bool `json:"f,omitempty"`
	// Ask reports whether the others are to say that they are there.
	Ask bool `json:"a,omitempty"`
	// Leaves reports whether the process ends.
	Leaves bool `json:"l,omitempty"`
}

// payloadLimit is how long a payload may be, in bytes. The server takes less than 8000.
const payloadLimit = 7_900

// packer packs hints into as few payloads as they need.
type packer struct {
	message hintMessage
	// size bounds the length of message from above, empty that of one without hints.
	size, empty int
	payloads    []string
	// dropped counts the hints that do not fit a payload.
	dropped int
}

// pack encodes what is pending, and what the process says of itself, if anything.
func pack(from string, p *presence, h *pendingHints) (payloads []string, dropped int) {
	k := packer{message: hintMessage{From: from, Presence: p, Wakes: h.wakes}, empty: len(from) + 64}
	k.size = k.empty + 64 // the presence
	for _, reason := range h.wakes {
		k.size += len(reason) + 3
	}
	for i := range h.commands {
		k.add(&k.message.Commands, h.commands[i])
	}
	for i := range h.updates {
		k.add(&k.message.Updates, h.updates[i])
	}
	k.flush()
	return k.payloads, k.dropped
}

// add adds a hint to a list of the message, or of the next one if this one is full.
func (k *packer) add(list *[]json.RawMessage, hint any) {
	text, err := json.Marshal(hint)
	if err != nil || k.empty+len(text) >= payloadLimit {
		k.dropped++
		return
	}
	if k.size+len(text)+1 > payloadLimit {
		k.flush()
	}
	*list = append(*list, text)
	k.size += len(text) + 1
}

// flush ends the message, unless it says nothing.
func (k *packer) flush() {
	m := &k.message
	if m.Presence == nil && len(m.Wakes)+len(m.Commands)+len(m.Updates) == 0 {
		return
	}
	text, err := json.Marshal(m)
	if err != nil {
		k.dropped += len(m.Commands) + len(m.Updates)
	} else {
		k.payloads = append(k.payloads, string(text))
	}
	k.message, k.size = hintMessage{From: m.From}, k.empty
}

// decodeAll decodes each item. One that cannot be read is left out.
func decodeAll[T any](items []json.RawMessage) (out []T, bad int) {
	for _, item := range items {
		var v T
		if json.Unmarshal(item, &v) != nil {
			bad++
			continue
		}
		out = append(out, v)
	}
	return out, bad
}
