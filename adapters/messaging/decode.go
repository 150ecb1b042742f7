package messaging

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// decode reads the envelope of a message. Its payload is read by who knows the type, with open.
func decode(data []byte) (Envelope, error) {
	if e, ok := head(data); ok && e.check() == nil {
		return e, nil
	}
	return decodeWhole(data)
}

// decodeWhole is decode for a message whose fields come in any order.
func decodeWhole(data []byte) (Envelope, error) {
	var e Envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("message is not an envelope: %w", err)
	}
	return e, e.check()
}

func (e *Envelope) check() error {
	if e.Type == "" || e.Version < 1 {
		return errors.New("message has no type or version")
	}
	return nil
}

// head reads the envelope of a message in the order in which encodeReply writes it: the payload
// comes last. The payload is not looked at, so that a large one is parsed once, by open. ok is false
// if the order may be another one.
func head(data []byte) (e Envelope, ok bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return e, false
	}
	for {
		name, err := d.Token()
		if err != nil {
			return e, false
		}
		if name == "payload" {
			rest, found := bytes.CutPrefix(bytes.TrimLeft(data[d.InputOffset():], " \t\r\n"), []byte(":"))
			rest, closed := bytes.CutSuffix(bytes.TrimRight(rest, " \t\r\n"), []byte("}"))
			e.Payload, e.whole = rest, data
			return e, found && closed
		}
		value, err := d.Token()
		if err != nil || !e.set(name, value) {
			return e, false
		}
	}
}

// set sets a field by its name. It returns false if it does not know the field, or its value.
func (e *Envelope) set(name, value json.Token) (ok bool) {
	text, isText := value.(string)
	switch name {
	case "message_id":
		e.MessageID = text
	case "type":
		e.Type = text
	case "version":
		number, _ := value.(json.Number)
		var err error
		e.Version, err = strconv.Atoi(number.String())
		return err == nil
	case "timestamp":
		return isText && e.Timestamp.UnmarshalText([]byte(text)) == nil
	case "sender_id":
		e.SenderID = text
	case "sender_type":
		e.SenderType = text
	case "correlation_id":
		e.CorrelationID = text
	case "origin":
		e.Origin = text
	default:
		return false
	}
	return isText
}

// open reads the payload of a message. If that is not all that follows, it reads the whole message
// again, and then e is its envelope.
func open[P any](e *Envelope) (p P, err error) {
	if err = json.Unmarshal(e.Payload, &p); err == nil || e.whole == nil {
		return p, err
	}
	again, whole := decodeWhole(e.whole)
	if whole != nil {
		return p, whole
	}
	*e = again
	var anew P
	return anew, json.Unmarshal(e.Payload, &anew)
}
