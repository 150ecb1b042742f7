package rpc

import (
	"bytes"
	"errors"
	"fmt"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Bounds bound the lists of a request. A message takes many times the memory of its text, so a
// request of many small items, or of one with many labels, must not become one before it is
// refused. Of a list that is too long, one item more than the bound is kept, and of an item that is
// too large something as large. So the operation refuses the request, or the item, as it refuses
// the same over REST. The zero Bounds bound nothing.
type Bounds struct {
	Items     int // of a list
	ItemBytes int // of an item that is a message
}

// JSON returns the codec for JSON with the name that it stands for.
func (b Bounds) JSON(name string) connect.Codec { return bounded{JSON(name), b, cutJSON} }

// Binary returns the codec for binary messages.
func (b Bounds) Binary() connect.Codec { return bounded{binary{}, b, cutBinary} }

// bounded cuts messages before it decodes them.
type bounded struct {
	connect.Codec

	bounds Bounds
	cut    func(Bounds, []byte, protoreflect.MessageDescriptor) []byte
}

// Unmarshal implements connect.Codec.
func (b bounded) Unmarshal(data []byte, message any) error {
	if m, ok := message.(proto.Message); ok && b.bounds != (Bounds{}) {
		data = b.cut(b.bounds, data, m.ProtoReflect().Descriptor())
	}
	return b.Codec.Unmarshal(data, message)
}

// binary is the codec for binary messages. Connect has one, too, but does not give it to others.
type binary struct{}

// Name implements connect.Codec.
func (binary) Name() string { return "proto" }

// Marshal implements connect.Codec.
func (binary) Marshal(message any) ([]byte, error) {
	if m, ok := message.(proto.Message); ok {
		return proto.Marshal(m)
	}
	return nil, fmt.Errorf("%T is no message", message)
}

// Unmarshal implements connect.Codec.
func (binary) Unmarshal(data []byte, message any) error {
	if m, ok := message.(proto.Message); ok {
		return proto.Unmarshal(data, m)
	}
	return errors.New("not a message")
}

// fillerOf returns the field of a list's items that holds what stands for an item that is too
// large: one with text. It is nil if the items are no messages.
func fillerOf(list protoreflect.FieldDescriptor) protoreflect.FieldDescriptor {
	if list == nil || !list.IsList() || list.Message() == nil {
		return nil
	}
	fields := list.Message().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); f.Kind() == protoreflect.StringKind && !f.IsList() && !holdsJSON(f) {
			return f
		}
	}
	return nil
}

// binaryList is a list of a binary message.
type binaryList struct {
	filler protoreflect.FieldDescriptor // see fillerOf
	items  int
}

// cutBinary cuts the lists of a binary message. What is no message it returns as it is.
func cutBinary(b Bounds, data []byte, d protoreflect.MessageDescriptor) []byte {
	lists := map[protowire.Number]*binaryList{}
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); f.IsList() {
			lists[f.Number()] = &binaryList{filler: fillerOf(f)}
		}
	}
	var out []byte
	from := 0 // out has what stands before, if anything was cut
	for at := 0; at < len(data); {
		number, kind, tag := protowire.ConsumeTag(data[at:])
		if tag < 0 {
			return data
		}
		size := protowire.ConsumeFieldValue(number, kind, data[at+tag:])
		if size < 0 {
			return data
		}
		end := at + tag + size
		if list := lists[number]; list != nil {
			list.items++
			switch {
			case list.items > b.Items+1:
				out, from = append(out, data[from:at]...), end
			case list.filler != nil && size > b.ItemBytes && kind == protowire.BytesType:
				item := protowire.AppendTag(nil, list.filler.Number(), protowire.BytesType)
				item = protowire.AppendBytes(item, bytes.Repeat([]byte(" "), b.ItemBytes))
				out = protowire.AppendTag(append(out, data[from:at]...), number, protowire.BytesType)
				out, from = protowire.AppendBytes(out, item), end
			}
		}
		at = end
	}
	if from == 0 {
		return data
	}
	return append(out, data[from:]...)
}

// cutJSON cuts the lists of an object in JSON. Only brackets and strings decide where an item ends:
// what is no JSON is refused afterwards.
func cutJSON(b Bounds, text []byte, d protoreflect.MessageDescriptor) []byte {
	var filler protoreflect.FieldDescriptor
	for i := range d.Fields().Len() {
		if f := fillerOf(d.Fields().Get(i)); f != nil {
			filler = f
		}
	}
	c := jsonCutter{bounds: b, text: text}
	if filler != nil {
		c.filler = fmt.Appendf(nil, `{%q:"%s"}`, filler.Name(), bytes.Repeat([]byte(" "), b.ItemBytes))
	}
	return c.cut()
}

// jsonCutter copies an object without what is too much in its lists.
type jsonCutter struct {
	bounds Bounds
	text   []byte
	filler []byte // nil: the items of its lists may be of any size

	out   []byte
	from  int  // out has what stands before, if anything was cut
	list  bool // the text that is read stands in a list of the object
	items int  // of that list
	begin int  // of the item
	ends  int  // of the last item that is kept; 0: all are
}

func (c *jsonCutter) cut() []byte {
	depth := 0
	for at := 0; at < len(c.text); at++ {
		switch char := c.text[at]; char {
		case '"':
			for at++; at < len(c.text) && c.text[at] != '"'; at++ {
				if c.text[at] == '\\' {
					at++
				}
			}
		case '{', '[':
			if depth++; depth == 2 {
				c.list, c.items, c.begin, c.ends = char == '[', 0, at+1, 0
			}
		case '}', ']':
			if depth == 2 && c.list {
				c.endItem(at)
				c.endList(at)
			}
			depth--
		case ',':
			if depth == 2 && c.list {
				c.endItem(at)
			}
		}
	}
	if c.from == 0 {
		return c.text
	}
	return append(c.out, c.text[c.from:]...)
}

// endItem ends an item behind which a comma or bracket stands.
func (c *jsonCutter) endItem(at int) {
	c.items++
	switch {
	case c.ends > 0:
	case c.items > c.bounds.Items:
		c.ends = at
	case c.filler != nil && at-c.begin > c.bounds.ItemBytes:
		c.out, c.from = append(append(c.out, c.text[c.from:c.begin]...), c.filler...), at
	}
	c.begin = at + 1
}

// endList ends a list. Its bracket stays.
func (c *jsonCutter) endList(at int) {
	c.list = false
	if c.ends > 0 {
		c.out, c.from = append(c.out, c.text[c.from:c.ends]...), at
	}
}
