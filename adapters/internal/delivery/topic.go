package delivery

import (
	"slices"
	"strings"
)

// Topic holds the subscriptions of one process to one subject. It is not safe for concurrent use.
type Topic[M any] struct {
	// Pattern reports whether a "*" in the subject stands for one token.
	Pattern bool

	subject string
	alone   []*Subscription[M]
	groups  map[string]*group[M]
}

// group holds this process's members of a queue group. They take turns.
type group[M any] struct {
	members []*Subscription[M]
	turn    int
}

// NewTopic returns a topic without subscriptions.
func NewTopic[M any](subject string) *Topic[M] {
	return &Topic[M]{Pattern: strings.Contains(subject, "*"), subject: subject, groups: map[string]*group[M]{}}
}

// Matches reports whether the topic's subscriptions are meant to get messages on subject.
func (t *Topic[M]) Matches(subject string) bool {
	if !t.Pattern {
		return subject == t.subject
	}
	return slices.EqualFunc(strings.Split(t.subject, "."), strings.Split(subject, "."), func(want, got string) bool {
		return want == "*" || want == got
	})
}

// Add adds a subscription, as a member of a group if the group has a name.
func (t *Topic[M]) Add(groupName string, s *Subscription[M]) {
	if groupName == "" {
		t.alone = append(t.alone, s)
		return
	}
	g := t.groups[groupName]
	if g == nil {
		g = &group[M]{}
		t.groups[groupName] = g
	}
	g.members = append(g.members, s)
}

// Remove removes a subscription. It reports whether it was the last one.
func (t *Topic[M]) Remove(s *Subscription[M]) (last bool) {
	same := func(o *Subscription[M]) bool { return o == s }
	t.alone = slices.DeleteFunc(t.alone, same)
	for name, g := range t.groups {
		if g.members = slices.DeleteFunc(g.members, same); len(g.members) == 0 {
			delete(t.groups, name)
		}
	}
	return len(t.alone) == 0 && len(t.groups) == 0
}

// Receivers returns who gets the next message: every subscription without a group, and one member
// of each group.
func (t *Topic[M]) Receivers() []*Subscription[M] {
	out := slices.Clone(t.alone)
	for _, g := range t.groups {
		g.turn++
		out = append(out, g.members[g.turn%len(g.members)])
	}
	return out
}
